"""The regularizer paper's lemmas and theorems on finite sources, enumerated: X -> U = f(X) -> X_hat = g(U).

A source of n symbols has probabilities p; f is analysis and quantization, g synthesis, both deterministic and given as
tables. Every entropy is a finite sum over the joint distribution, in bits and double precision.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SYMBOLS = 24
EXACT = {"rtol": 0, "atol": 1e-12}


def entropy_bits(distribution):
    """-sum p log2 p, where 0 log2 0 is 0."""
    positive = distribution[distribution > 0]
    return -(positive * np.log2(positive)).sum()


def conditional_entropy_bits(joint):
    """H(A|B) = -sum p(a, b) log2 p(a|b) of a table [a b]."""
    return -expected_log2(joint, conditional(joint))


def expected_log2(joint, likelihood):
    """E[log2 likelihood(a|b)] under a table [a b]."""
    present = joint > 0
    return (joint[present] * np.log2(likelihood[present])).sum()


def conditional(joint):
    """p(a|b) of a table [a b]; 0 where b never occurs."""
    marginal = joint.sum(axis=0, keepdims=True)
    return np.divide(joint, marginal, out=np.zeros_like(joint), where=marginal > 0)


def joint_of(p, rows, columns, count_rows, count_columns):
    """Joint distribution of two functions of X, given as tables."""
    joint = np.zeros((count_rows, count_columns))
    np.add.at(joint, (rows, columns), p)
    return joint


class Codec:
    """The joint distributions of X, U and X_hat.

    Args:
        p: probability of each symbol of X.
        f: index of each symbol.
        g: reconstruction of each index.
    """

    def __init__(self, p, f, g):
        p, f, g = np.asarray(p, np.float64), np.asarray(f), np.asarray(g)
        x, n = np.arange(len(p)), len(p)
        indices, reconstructions = len(g), g.max() + 1
        self.p, self.f, self.g = p, f, g
        self.x_and_u = joint_of(p, x, f, n, indices)
        self.x_and_x_hat = joint_of(p, x, g[f], n, reconstructions)
        self.u_and_x = self.x_and_u.T
        self.u_and_x_hat = joint_of(p, f, g[f], indices, reconstructions)
        self.x_hat_and_u = self.u_and_x_hat.T
        self.h_x = entropy_bits(p)
        self.h_u = entropy_bits(self.x_and_u.sum(axis=0))
        self.h_x_hat = entropy_bits(self.x_and_x_hat.sum(axis=0))


@st.composite
def sources(draw, symbols=SYMBOLS):
    """Probabilities, some of them 0, some tiny."""
    weights = draw(st.lists(st.sampled_from([0.0, 1e-9, 1.0]) | st.floats(0.01, 1), min_size=2, max_size=symbols))
    weights = np.array(weights) + (0.0 if any(weights) else 1.0)
    return weights / weights.sum()


@st.composite
def codecs(draw, *, bijective=None):
    """Any source, any f and any g; g one-to-one or not, as asked for."""
    p = draw(sources())
    indices = draw(st.integers(1, len(p)))
    f = draw(st.lists(st.integers(0, indices - 1), min_size=len(p), max_size=len(p)))
    free = st.lists(st.integers(0, indices - 1), min_size=indices, max_size=indices)
    g = draw(st.permutations(range(indices)) if bijective else free)
    return Codec(p, f, g)


@given(codecs())
def test_index_and_reconstruction_are_known_from_the_source(codec):
    # Lemmas 1 and 2: f and g are deterministic, so H(U|X) = H(X_hat|X) = H(X_hat|U) = 0.
    np.testing.assert_allclose(conditional_entropy_bits(codec.u_and_x), 0, **EXACT)
    np.testing.assert_allclose(conditional_entropy_bits(codec.x_and_x_hat.T), 0, **EXACT)
    np.testing.assert_allclose(conditional_entropy_bits(codec.x_hat_and_u), 0, **EXACT)


@given(codecs(bijective=True))
def test_with_a_one_to_one_synthesis_source_entropy_is_index_entropy_and_what_is_left(codec):
    # Lemma 1 and Theorem 1, direct coding: H(U) = H(X_hat) = I(X; X_hat) = H(X) - H(X|X_hat).
    left = conditional_entropy_bits(codec.x_and_x_hat)
    np.testing.assert_allclose(conditional_entropy_bits(codec.u_and_x_hat), 0, **EXACT)
    np.testing.assert_allclose(codec.h_u, codec.h_x - left, **EXACT)
    np.testing.assert_allclose(codec.h_u, codec.h_x_hat, **EXACT)
    np.testing.assert_allclose(left, conditional_entropy_bits(codec.x_and_u), **EXACT)


@given(codecs())
def test_with_any_synthesis_the_uncertainty_of_the_index_is_added(codec):
    # Lemma 2 and Theorem 2, transform coding: H(U) = H(X) - H(X|X_hat) + H(U|X_hat).
    left, ambiguity = conditional_entropy_bits(codec.x_and_x_hat), conditional_entropy_bits(codec.u_and_x_hat)
    np.testing.assert_allclose(codec.h_u, codec.h_x - left + ambiguity, **EXACT)
    assert ambiguity >= 0
    # What the regularizer maximises is an upper bound of what would have to be: H(X|X_hat) >= H(X|X_hat) - H(U|X_hat).
    np.testing.assert_allclose(left - ambiguity, conditional_entropy_bits(codec.x_and_u), **EXACT)


def test_the_uncertainty_of_the_index_is_positive_where_two_indices_look_the_same():
    # Four equal symbols, four indices, of which g makes two: two bits are sent where one arrives.
    codec = Codec([0.25] * 4, [0, 1, 2, 3], [0, 0, 1, 1])
    assert codec.h_u == 2
    assert conditional_entropy_bits(codec.x_and_x_hat) == 1
    assert conditional_entropy_bits(codec.u_and_x_hat) == 1


@given(sources(), st.data())
def test_fewer_bits_are_more_conditional_entropy_whichever_codec_of_a_source(p, data):
    # Theorem 1 for two codecs of one source with one-to-one synthesis: differences are equal and opposite.
    one, other = (
        Codec(p, data.draw(st.lists(st.integers(0, 7), min_size=len(p), max_size=len(p))), range(8)) for _ in range(2)
    )
    gained = conditional_entropy_bits(one.x_and_x_hat) - conditional_entropy_bits(other.x_and_x_hat)
    np.testing.assert_allclose(one.h_u - other.h_u, -gained, **EXACT)


@pytest.mark.parametrize("bijective", [True, False])
def test_minimising_one_is_maximising_the_other_over_every_codec(bijective):
    # All 256 tables f and 256 tables g of four symbols: with one-to-one g the order of codecs by H(U) is the reverse of
    # that by H(X|X_hat); with others it is not, which is why the paper's Theorem 2 has its third term.
    p = np.array([0.4, 0.3, 0.2, 0.1])
    tables = list(np.ndindex(4, 4, 4, 4))
    syntheses = [g for g in tables if (len(set(g)) == 4) == bijective][::20]
    found = [Codec(p, f, g) for f in tables for g in syntheses]
    bits = np.array([codec.h_u for codec in found])
    left = np.array([conditional_entropy_bits(codec.x_and_x_hat) for codec in found])
    order = np.argsort(bits)
    assert np.all(np.diff(left[order]) <= 1e-12) == bijective


@given(codecs(), st.data())
@settings(max_examples=50)
def test_a_source_model_never_needs_fewer_bits_than_the_conditional_entropy(codec, data):
    # E[-log2 q(x|x_hat)] = H(X|X_hat) + E[KL(p || q)]: stage 2, maximum likelihood, comes to H(X|X_hat) from above.
    joint = codec.x_and_x_hat
    logits = np.array(data.draw(st.lists(st.floats(-5, 5), min_size=joint.size, max_size=joint.size)))
    q = np.exp(logits.reshape(joint.shape))
    q /= q.sum(axis=0)
    p = conditional(joint)
    entropy = conditional_entropy_bits(joint)
    divergence = expected_log2(joint, p) - expected_log2(joint, q)
    assert -expected_log2(joint, q) >= entropy - 1e-12
    np.testing.assert_allclose(-expected_log2(joint, q), entropy + divergence, rtol=0, atol=1e-9)
    np.testing.assert_allclose(-expected_log2(joint, p), entropy, **EXACT)


@given(codecs(), st.integers(0, 2**32 - 1))
def test_a_step_towards_the_true_conditional_lowers_the_cross_entropy(codec, seed):
    # The cross-entropy is convex in q: on the straight way to its minimum, q = p, it falls at every step.
    joint = codec.x_and_x_hat
    q = np.random.default_rng(seed).dirichlet(np.ones(joint.shape[0]), joint.shape[1]).T + 1e-6
    q /= q.sum(axis=0)
    p = conditional(joint)
    needed = [-expected_log2(joint, (1 - share) * q + share * p) for share in np.linspace(0, 1, 9)]
    assert np.all(np.diff(needed) <= 1e-12)
