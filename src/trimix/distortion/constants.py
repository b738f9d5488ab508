"""Numbers of the measures, which are the same for arrays and for torch."""

import math

HALF_A_STEP = 0.5
"""Of 8 bits, squared and added under a root, so that it has a slope at 0."""

OWN_SLOPE = 0.1
"""Part of the slope that is D's own."""
WEIGHT_RANGE = 8.0
"""A place's weight is at most so many times that of the whole picture, and at least one over it."""
SMALLEST = 1e-12

MS_SSIM_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, finest first (Wang, Simoncelli and Bovik 2003, section 3.2)."""
MS_SSIM_MINIMUM_SIDE = 161
"""Pixels: the window must fit into the picture after four halvings, (11 - 1) * 2^4 + 1."""

MS_SSIM_REACH = 5
MS_SSIM_SIGMA = 1.5
MS_SSIM_WINDOW = [math.exp(-(place**2) / (2 * MS_SSIM_SIGMA**2)) for place in range(-MS_SSIM_REACH, MS_SSIM_REACH + 1)]
MS_SSIM_WINDOW = [weight / sum(MS_SSIM_WINDOW) for weight in MS_SSIM_WINDOW]
MS_SSIM_LUMINANCE_STABILIZER = 0.01**2
MS_SSIM_CONTRAST_STABILIZER = 0.03**2
MS_SSIM_SMALLEST_FACTOR = 0.01

SSIMULACRA2_MINIMUM_SIDE = 128
"""Pixels: the coarsest scale with a weight has 8, which the metric asks for."""

SSIMULACRA2_SCALES = 5
SSIMULACRA2_WEIGHTS = {
    (0, 1): (0, 0, 0, 7.466890328078848, 0, 17.445833984131262),
    (1, 0): (0, 0, 0, 1.1041726426657346, 0, 0),
    (1, 1): (0, 0, 0, 6.683678146179332, 0, 1.027889937768264),
    (2, 0): (0, 0, 0, 1.8422455520539298, 11.441172603757666, 0),
    (2, 1): (225.20515300849274, 0, 0, 19.213238186143016, 0, 0),
    (3, 0): (0, 0, 0, 1.8787594979546387, 10.94906990605142, 0),
    (3, 1): (176.39317598450694, 0, 0, 24.43300999870476, 0.28520802612117757, 0),
    (3, 2): (0, 0, 0, 8.826982764996862, 23.19243343998926, 0),
    (4, 0): (0, 0.9677937080626833, 0, 0, 0.9981766977854967, 0),
    (4, 1): (0, 0, 0, 34.77906344483772, 44.835625328877896, 0),
    (4, 2): (95.1080498811086, 0.9863978034400682, 0.9834382792465353, 0, 171.2667255897307, 0.9807858872435379),
}
"""By scale, 0 is the finest, and channel, of X, Y and B: 1-norms of SSIM, artifacts, lost detail, then their 4-norms.
Of the published weights none is between 0.0021 and 0.28. Those below are left out: they move the score by less than
0.01, and without them most planes, all of the sixth scale among them, need not be looked at."""

SSIMULACRA2_REACH = 4
SSIMULACRA2_HALF_WINDOW = (
    0.2646211054881986,
    0.2129285920104222,
    0.1093353727774603,
    0.0360111146583644,
    0.0094143678096537,
)
SSIMULACRA2_WINDOW = (*SSIMULACRA2_HALF_WINDOW[:0:-1], *SSIMULACRA2_HALF_WINDOW)
"""Of a recursive Gaussian with sigma 1.5 (Charalampidis 2016): a sum of three cosines that ends where all are 0."""
SSIMULACRA2_STABILIZER = 0.0009
SSIMULACRA2_OPSIN = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
SSIMULACRA2_OPSIN_BIAS = 0.0037930732552754493
SSIMULACRA2_XYB = ((7.0, -7.0, 0.0), (0.5, 0.5, 0.0), (-0.5, -0.5, 1.0))
"""X, Y and B - Y of the cube roots; X 14 times as large as that of JPEG XL."""
SSIMULACRA2_XYB_OFFSETS = (0.42, 0.01 - SSIMULACRA2_OPSIN_BIAS ** (1 / 3), 0.55)
SSIMULACRA2_ERROR_SCALE = 0.9562382616834844
SSIMULACRA2_CUBIC = (6.248496625763138e-05, -0.020884521182843837, 2.326765642916932)
"""p(e): of the third power of the error, the second and the first."""
SSIMULACRA2_EXPONENT = 0.6276336467831387
SSIMULACRA2_STRAIGHT_BELOW = 1e-3
SSIMULACRA2_STRAIGHT_ABOVE = 36.0
SSIMULACRA2_SLOPE_ABOVE = 1.460146055370411
