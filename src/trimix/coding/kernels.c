/* The compiled loops of trimix in C: the same numbers as their namesakes in Python, where they are explained (kernels.py,
   integer_kernels.py of entropy_models, planes.py of distortion). A test compares the two.

   Built with -ffp-contract=off: a product and a sum that become one operation would round another way.
   Shifts of negative numbers are floors, as all compilers have them that build this. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_ALL_PROCESSORS __attribute__((target_clones("avx2", "default")))
#else
#define FOR_ALL_PROCESSORS
#endif

enum {
    CDF_BITS = 30, WEIGHT_BITS = 16, MEAN_STEPS = 64, INVERSE_SCALE_BITS = 22, SYMBOL_LIMIT = 1 << 15,
    DIRECT_MINIMUM = -2048, DIRECT_MAXIMUM = 2047, TABLE_STEPS = 32, TABLE_REACH = 24,
    TOTAL = 1 << CDF_BITS, SPREAD = TOTAL - (DIRECT_MAXIMUM - DIRECT_MINIMUM + 3),
    FRACTION_BITS = 16, FRACTION_MASK = (1 << FRACTION_BITS) - 1,
    POSITION_SHIFT = INVERSE_SCALE_BITS + 6 - 5 - FRACTION_BITS,
    LAST_STEP = TABLE_REACH * TABLE_STEPS, POSITION_LIMIT = LAST_STEP << FRACTION_BITS,
    TABLE_COLUMNS = 2 * LAST_STEP + 2, TAIL_COLUMNS = LAST_STEP + 1,
    MIXTURE_ESCAPE_ORDER = 8, FACTORIZED_ESCAPE_ORDER = 0, EXPONENT_LIMIT = 15, WORDS_PER_SYMBOL = 8,
    CORRUPTED = -1
};
#define WIDTH_MINIMUM ((uint64_t)1 << 48)

/* CRC-32 of this file, by which a library of another version is known. */
uint32_t source_checksum(void) { return SOURCE_CHECKSUM; }

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---------------------------------------------------------------------------------------------- Mixture CDF */

#define MIXTURE                                                                                                   \
    const uint8_t *families, int64_t components, const int32_t *weights, const int32_t *means,                    \
        const uint8_t *scale_indices, const uint32_t *tables, const int32_t *inverse_scales
#define OF_MIXTURE families, components, weights, means, scale_indices, tables, inverse_scales

static inline int64_t table_value(const uint32_t *table, int64_t position) {
    position = least(most(position, -POSITION_LIMIT), POSITION_LIMIT) + POSITION_LIMIT;
    const uint32_t *at = table + (position >> FRACTION_BITS);
    int64_t lower = at[0], upper = at[1];
    return lower + (((upper - lower) * (position & FRACTION_MASK)) >> FRACTION_BITS);
}

static inline int64_t squeezed(int64_t weighted_sum, int64_t value) {
    return (((weighted_sum >> WEIGHT_BITS) * SPREAD) >> CDF_BITS) + (value - DIRECT_MINIMUM + 1);
}

static inline int64_t edge_of(int64_t value, int64_t row, MIXTURE) {
    int64_t total = 0, edge = value * MEAN_STEPS - MEAN_STEPS / 2;
    for (int64_t k = row * components; k < (row + 1) * components; k++) {
        if (weights[k] == 0) continue;
        int64_t position = ((edge - means[k]) * inverse_scales[scale_indices[k]]) >> POSITION_SHIFT;
        total += weights[k] * table_value(tables + families[k - row * components] * TABLE_COLUMNS, position);
    }
    return squeezed(total, value);
}

static inline void edge_pair(int64_t value, int64_t row, MIXTURE, int64_t *lower, int64_t *upper) {
    int64_t lower_total = 0, upper_total = 0, edge = value * MEAN_STEPS - MEAN_STEPS / 2;
    for (int64_t k = row * components; k < (row + 1) * components; k++) {
        int64_t weight = weights[k];
        if (weight == 0) continue;
        int64_t inverse = inverse_scales[scale_indices[k]], product = (edge - means[k]) * inverse;
        const uint32_t *table = tables + families[k - row * components] * TABLE_COLUMNS;
        lower_total += weight * table_value(table, product >> POSITION_SHIFT);
        upper_total += weight * table_value(table, (product + MEAN_STEPS * inverse) >> POSITION_SHIFT);
    }
    *lower = squeezed(lower_total, value);
    *upper = squeezed(upper_total, value + 1);
}

int64_t code_symbols(const int32_t *symbols, int64_t count, MIXTURE, int64_t *codes) {
    for (int64_t row = 0; row < count; row++, codes += 3) {
        int64_t value = symbols[row];
        edge_pair(least(most(value, DIRECT_MINIMUM), DIRECT_MAXIMUM), row, OF_MIXTURE, codes, codes + 1);
        if (value < DIRECT_MINIMUM) {
            codes[1] = codes[0];
            codes[0] = 0;
        } else if (value > DIRECT_MAXIMUM) {
            codes[0] = codes[1];
            codes[1] = TOTAL;
        }
        codes[2] = most(DIRECT_MINIMUM - 1 - value, value - DIRECT_MAXIMUM - 1);
    }
    return 0;
}

int64_t first_bad_weights(const int32_t *weights, int64_t rows, int64_t components) {
    for (int64_t row = 0; row < rows; row++) {
        int64_t total = 0, signs = 0;
        for (int64_t k = row * components; k < (row + 1) * components; k++) {
            total += weights[k];
            signs |= weights[k];
        }
        if (signs < 0 || total != 1 << WEIGHT_BITS) return row;
    }
    return -1;
}

/* -------------------------------------------------------------- The mixture in floating point, with derivatives */

static inline void tail(const double *tails, double distance, double *mass, double *density) {
    double position = distance * TABLE_STEPS;
    position = position < LAST_STEP ? position : LAST_STEP; /* what is no number is far out */
    int64_t index = least((int64_t)position, LAST_STEP - 1);
    double share = position - (double)index;
    const double *at = tails + 2 * index;
    *mass = at[0] + share * (at[2] - at[0]);
    *density = at[1] + share * (at[3] - at[1]);
}

int64_t information_and_derivatives(const float *values, int64_t count, const uint8_t *families, int64_t components,
                                    const double *tails, const float *log_weights, const float *means,
                                    const float *scales, int64_t first, int64_t last, float *information,
                                    float *by_log_weight, float *by_mean, float *by_scale) {
    const double log2_e = 1 / log(2.0), part = (double)SPREAD / TOTAL, lowest = 1.0 / TOTAL;
    for (int64_t index = first; index < last; index++) {
        double probability = 0.0;
        for (int64_t k = 0; k < components; k++) {
            int64_t i = k * count + index;
            const double *of_family = tails + (size_t)families[k] * TAIL_COLUMNS * 2;
            float apart = values[index] - means[i]; /* Numba's float() leaves single precision as it is */
            double inverse = 1.0 / (double)scales[i], distance = fabsf(apart);
            double a = (distance - 0.5) * inverse, b = (distance + 0.5) * inverse;
            double beyond_a, at_a, beyond_b, at_b;
            tail(of_family, fabs(a), &beyond_a, &at_a);
            tail(of_family, b, &beyond_b, &at_b);
            double mass = a > 0 ? beyond_a - beyond_b : 1 - beyond_a - beyond_b;
            double weight = expf(log_weights[i]);
            probability += weight * mass;
            by_log_weight[i] = (float)(weight * mass);
            double slope = weight * (at_a - at_b) * inverse;
            by_mean[i] = (float)(apart > 0 ? slope : -slope);
            by_scale[i] = (float)(weight * (a * at_a - b * at_b) * inverse);
        }
        probability = probability * part + lowest;
        information[index] = (float)-log2(probability);
        double factor = -log2_e * part / probability;
        for (int64_t k = 0; k < components; k++) {
            int64_t i = k * count + index;
            by_log_weight[i] = (float)(by_log_weight[i] * factor);
            by_mean[i] = (float)(by_mean[i] * factor);
            by_scale[i] = (float)(by_scale[i] * factor);
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------- Range encoder */

typedef struct {
    uint64_t low, width;
    int64_t filled;
    uint16_t *words;
} encoder;

static inline void narrow(encoder *to, uint64_t start, uint64_t frequency, uint64_t bits) {
    uint64_t step = to->width >> bits, moved = to->low + step * start;
    if (moved < to->low) {
        int64_t carry = to->filled - 1;
        while (to->words[carry] == 0xFFFF) to->words[carry--] = 0;
        to->words[carry]++;
    }
    to->low = moved;
    to->width = step * frequency;
    while (to->width < WIDTH_MINIMUM) {
        to->words[to->filled++] = (uint16_t)(to->low >> 48);
        to->low <<= 16;
        to->width <<= 16;
    }
}

static void write_excess(encoder *to, int64_t excess, uint64_t order) {
    uint64_t number = (uint64_t)excess + ((uint64_t)1 << order), exponent = order;
    for (; number >> exponent > 1; exponent++) narrow(to, 0, 1, 1);
    narrow(to, 1, 1, 1);
    narrow(to, number - ((uint64_t)1 << exponent), 1, exponent);
}

int64_t encode(const int64_t *codes, int64_t count, int64_t escape_order, int64_t first, uint64_t *state,
               uint16_t *words, int64_t capacity) {
    encoder to = {state[0], state[1], (int64_t)state[2], words};
    int64_t row = first;
    for (; row < count && to.filled <= capacity - WORDS_PER_SYMBOL; row++) {
        const int64_t *code = codes + 3 * row;
        narrow(&to, (uint64_t)code[0], (uint64_t)(code[1] - code[0]), CDF_BITS);
        if (code[2] >= 0) write_excess(&to, code[2], (uint64_t)escape_order);
    }
    state[0] = to.low, state[1] = to.width, state[2] = (uint64_t)to.filled;
    return row;
}

/* ------------------------------------------------------------------------------------------- Range decoder */

typedef struct {
    uint64_t offset, width;
    int64_t used;
    const uint16_t *words;
    int64_t count;
} decoder;

static inline void take(decoder *from, uint64_t start, uint64_t frequency, uint64_t step) {
    from->offset -= step * start;
    from->width = step * frequency;
    while (from->width < WIDTH_MINIMUM) {
        uint64_t word = from->used < from->count ? from->words[from->used] : 0;
        from->used++;
        from->offset = from->offset << 16 | word;
        from->width <<= 16;
    }
}

static inline uint64_t take_bits(decoder *from, uint64_t bits) {
    uint64_t step = from->width >> bits, value = from->offset / step;
    if (value >> bits == 0) take(from, value, 1, step);
    return value;
}

static int64_t read_excess(decoder *from, uint64_t order) {
    uint64_t exponent = order, value = take_bits(from, 1);
    while (value == 0) {
        if (++exponent > EXPONENT_LIMIT) return CORRUPTED;
        value = take_bits(from, 1);
    }
    if (value > 1) return CORRUPTED;
    value = take_bits(from, exponent);
    if (value >> exponent) return CORRUPTED;
    return (int64_t)(((uint64_t)1 << exponent) + value - ((uint64_t)1 << order));
}

int64_t decode_mixture(int32_t *symbols, int64_t count, MIXTURE, uint64_t *state, const uint16_t *words,
                       int64_t word_count) {
    decoder from = {state[0], state[1], (int64_t)state[2], words, word_count};
    for (int64_t row = 0; row < count; row++) {
        uint64_t step = from.width >> CDF_BITS;
        if (from.offset >= step << CDF_BITS) return CORRUPTED;
        int64_t mean_sum = 0, lower, upper;
        for (int64_t k = row * components; k < (row + 1) * components; k++) mean_sum += (int64_t)weights[k] * means[k];
        int64_t guess = ((mean_sum >> WEIGHT_BITS) + MEAN_STEPS / 2) >> 6;
        guess = least(most(guess, DIRECT_MINIMUM), DIRECT_MAXIMUM);
        edge_pair(guess, row, OF_MIXTURE, &lower, &upper);
        int64_t low_value = DIRECT_MINIMUM - 1, low_edge = 0, high_value = DIRECT_MAXIMUM + 2, high_edge = TOTAL;
        int is_down = from.offset < step * (uint64_t)lower;
        if (is_down) {
            high_value = guess, high_edge = lower;
        } else if (from.offset < step * (uint64_t)upper) {
            low_value = guess, low_edge = lower, high_value = guess + 1, high_edge = upper;
        } else {
            low_value = guess + 1, low_edge = upper;
        }
        int64_t stride = 1;
        while (high_value - low_value > 1) {
            int64_t probe = is_down ? high_value - stride : low_value + stride;
            stride *= 2;
            if (probe <= low_value || probe >= high_value) probe = (low_value + high_value) >> 1;
            int64_t edge = edge_of(probe, row, OF_MIXTURE);
            int is_below = from.offset < step * (uint64_t)edge;
            if (is_below) high_value = probe, high_edge = edge;
            else low_value = probe, low_edge = edge;
            if (is_below != is_down) stride = 1 << 20;
        }
        take(&from, (uint64_t)low_edge, (uint64_t)(high_edge - low_edge), step);
        int64_t value = low_value;
        if (value < DIRECT_MINIMUM || value > DIRECT_MAXIMUM) {
            int64_t excess = read_excess(&from, MIXTURE_ESCAPE_ORDER);
            value = value < 0 ? value - excess : value + excess;
            if (excess < 0 || value <= -SYMBOL_LIMIT || value >= SYMBOL_LIMIT) return CORRUPTED;
        }
        if (from.used > word_count) return CORRUPTED;
        symbols[row] = (int32_t)value;
    }
    state[0] = from.offset, state[1] = from.width, state[2] = (uint64_t)from.used;
    return count;
}

int64_t decode_factorized(int32_t *symbols, int64_t count, const int32_t *channels, const uint32_t *cdf,
                          int64_t channel_count, int64_t columns, const int32_t *lengths, const int32_t *offsets,
                          uint64_t *state, const uint16_t *words, int64_t word_count) {
    (void)channel_count;
    decoder from = {state[0], state[1], (int64_t)state[2], words, word_count};
    for (int64_t row = 0; row < count; row++) {
        uint64_t step = from.width >> CDF_BITS;
        if (from.offset >= step << CDF_BITS) return CORRUPTED;
        int64_t channel = channels[row], length = lengths[channel], low_rank = 0, high_rank = length + 2;
        const uint32_t *edges = cdf + channel * columns;
        while (high_rank - low_rank > 1) {
            int64_t probe = (low_rank + high_rank) >> 1;
            if (from.offset < step * edges[probe]) high_rank = probe;
            else low_rank = probe;
        }
        take(&from, edges[low_rank], (uint64_t)edges[high_rank] - edges[low_rank], step);
        int64_t value = (int64_t)offsets[channel] + low_rank - 1;
        if (low_rank == 0 || low_rank == length + 1) {
            int64_t excess = read_excess(&from, FACTORIZED_ESCAPE_ORDER);
            value = low_rank == 0 ? value - excess : value + excess;
            if (excess < 0 || value <= -SYMBOL_LIMIT || value >= SYMBOL_LIMIT) return CORRUPTED;
        }
        if (from.used > word_count) return CORRUPTED;
        symbols[row] = (int32_t)value;
    }
    state[0] = from.offset, state[1] = from.width, state[2] = (uint64_t)from.used;
    return count;
}

/* ------------------------------------------------------------------------------------------- Integer path */

enum { LANES = 16, TILE_ROWS = 6, TILE_BLOCKS = 4 };

typedef struct {
    const int16_t *rows;
    int64_t count, inputs;
    const int16_t *weights;
    int64_t blocks, pairs;
    const int64_t *parts;
    int64_t part_count;
    const double *scales;
    double *sums;
    int64_t outputs;
} Product;

static inline void add_part(const Product *p, int64_t row, int64_t block, int64_t part, const int32_t *found) {
    double *to = p->sums + row * p->outputs + block * LANES, scale = p->scales[part];
    int64_t lanes = least(LANES, p->outputs - block * LANES);
    if (part == 0) memset(to, 0, (size_t)lanes * sizeof *to);
    for (int64_t lane = 0; lane < lanes; lane++) to[lane] += scale * found[lane];
}

static void multiply_plain(const Product *p) {
    for (int64_t row = 0; row < p->count; row++)
        for (int64_t block = 0; block < p->blocks; block++) {
            const int16_t *from = p->rows + row * p->inputs, *w = p->weights + block * p->pairs * 2 * LANES;
            for (int64_t part = 0; part < p->part_count; part++) {
                int64_t first = p->parts[2 * part], last = first + p->parts[2 * part + 1];
                int32_t found[LANES] = {0};
                for (int64_t pair = first; pair < last; pair++, w += 2 * LANES)
                    for (int lane = 0; lane < LANES; lane++)
                        found[lane] += w[2 * lane] * from[2 * pair] + w[2 * lane + 1] * from[2 * pair + 1];
                add_part(p, row, block, part, found);
            }
        }
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/* A tile of rows and blocks stays in registers while a part of the inputs goes by. Rows beyond the last are the last. */
#define DEFINE_MULTIPLY(NAME, TARGET, VECTOR, BLOCK_VECTORS, MOST_BLOCKS, LOAD, SPREAD, MULTIPLY, ADD, STORE)      \
    TARGET static inline __attribute__((always_inline)) void NAME##_tile(const Product *p, int64_t row,            \
                                                                         int64_t block, const int blocks) {        \
        const int16_t *from[TILE_ROWS], *weights[MOST_BLOCKS];                                                     \
        for (int k = 0; k < TILE_ROWS; k++) from[k] = p->rows + least(row + k, p->count - 1) * p->inputs;          \
        for (int b = 0; b < blocks; b++) weights[b] = p->weights + (block + b) * p->pairs * 2 * LANES;             \
        for (int64_t part = 0; part < p->part_count; part++) {                                                     \
            int64_t first = p->parts[2 * part], last = first + p->parts[2 * part + 1];                             \
            VECTOR found[TILE_ROWS][MOST_BLOCKS * BLOCK_VECTORS];                                                  \
            memset(found, 0, sizeof found);                                                                        \
            for (int64_t pair = first; pair < last; pair++) {                                                      \
                VECTOR w[MOST_BLOCKS * BLOCK_VECTORS];                                                             \
                for (int b = 0; b < blocks; b++, weights[b - 1] += 2 * LANES)                                      \
                    for (int v = 0; v < BLOCK_VECTORS; v++)                                                        \
                        w[b * BLOCK_VECTORS + v] = LOAD(weights[b] + v * (2 * LANES / BLOCK_VECTORS));             \
                for (int k = 0; k < TILE_ROWS; k++) {                                                              \
                    int32_t two;                                                                                   \
                    memcpy(&two, from[k] + 2 * pair, sizeof two);                                                  \
                    VECTOR x = SPREAD(two);                                                                        \
                    for (int v = 0; v < blocks * BLOCK_VECTORS; v++)                                               \
                        found[k][v] = ADD(found[k][v], MULTIPLY(x, w[v]));                                         \
                }                                                                                                  \
            }                                                                                                      \
            for (int k = 0; k < TILE_ROWS && row + k < p->count; k++)                                              \
                for (int b = 0; b < blocks; b++) {                                                                 \
                    int32_t lanes[LANES];                                                                          \
                    for (int v = 0; v < BLOCK_VECTORS; v++)                                                        \
                        STORE((VECTOR *)(lanes + v * (LANES / BLOCK_VECTORS)), found[k][b * BLOCK_VECTORS + v]);   \
                    add_part(p, row + k, block + b, part, lanes);                                                  \
                }                                                                                                  \
        }                                                                                                          \
    }                                                                                                              \
    TARGET static void NAME(const Product *p) {                                                                    \
        int64_t block = 0;                                                                                         \
        for (; block + MOST_BLOCKS <= p->blocks; block += MOST_BLOCKS)                                             \
            for (int64_t row = 0; row < p->count; row += TILE_ROWS) NAME##_tile(p, row, block, MOST_BLOCKS);       \
        for (; block < p->blocks; block++)                                                                         \
            for (int64_t row = 0; row < p->count; row += TILE_ROWS) NAME##_tile(p, row, block, 1);                 \
    }

#define LOAD_256(from) _mm256_loadu_si256((const __m256i *)(from))
DEFINE_MULTIPLY(multiply_256, __attribute__((target("avx2"))), __m256i, 2, 1, LOAD_256, _mm256_set1_epi32,
                _mm256_madd_epi16, _mm256_add_epi32, _mm256_storeu_si256)
DEFINE_MULTIPLY(multiply_512, __attribute__((target("avx512bw"))), __m512i, 1, TILE_BLOCKS, _mm512_loadu_si512,
                _mm512_set1_epi32, _mm512_madd_epi16, _mm512_add_epi32, _mm512_storeu_si512)

/* The widest registers that there are and that are allowed, in bits. */
static int64_t register_bits(int64_t allowed) {
    if (allowed >= 512 && __builtin_cpu_supports("avx512bw")) return 512;
    return allowed >= 256 && __builtin_cpu_supports("avx2") ? 256 : 0;
}
#else
#define multiply_256 multiply_plain
#define multiply_512 multiply_plain
static int64_t register_bits(int64_t allowed) { return 0 * allowed; }
#endif

int64_t multiply(const int16_t *rows, int64_t count, int64_t inputs, const int16_t *weights, int64_t blocks,
                 int64_t pairs, const int64_t *parts, int64_t part_count, const double *scales, double *sums,
                 int64_t outputs, int64_t allowed_bits) {
    Product product = {rows, count, inputs, weights, blocks, pairs, parts, part_count, scales, sums, outputs};
    int64_t bits = register_bits(allowed_bits);
    (bits == 512 ? multiply_512 : bits == 256 ? multiply_256 : multiply_plain)(&product);
    return bits;
}

FOR_ALL_PROCESSORS
int64_t requantize(const double *sums, int64_t rows, int64_t outputs, const int64_t *bias, const int64_t *multiplier,
                   const int64_t *negative_multiplier, const int64_t *shift, const int64_t *minimum,
                   const int64_t *maximum, int32_t *results) {
    for (int64_t row = 0; row < rows; row++)
        for (int64_t output = 0; output < outputs; output++) {
            int64_t accumulator = (int64_t)sums[row * outputs + output] + bias[output];
            int64_t factor = accumulator < 0 ? negative_multiplier[output] : multiplier[output];
            int64_t value = (accumulator * factor + ((int64_t)1 << (shift[output] - 1))) >> shift[output];
            results[row * outputs + output] = (int32_t)least(most(value, minimum[output]), maximum[output]);
        }
    return 0;
}

int64_t softmax(const int64_t *logits, int64_t rows, int64_t components, int64_t channels, const int64_t *table,
                int64_t *weights) {
    for (int64_t row = 0; row < rows; row++)
        for (int64_t channel = 0; channel < channels; channel++) {
            int64_t at = row * components * channels + channel, largest = logits[at], total = 0;
            for (int64_t k = 1; k < components; k++) largest = most(largest, logits[at + k * channels]);
            for (int64_t k = 0; k < components; k++) {
                int64_t below = largest - logits[at + k * channels];
                int64_t exponential = table[below & 255] >> least(below >> 8, 63);
                weights[at + k * channels] = exponential;
                total += exponential;
            }
            int64_t left = 1 << WEIGHT_BITS, which = at;
            for (int64_t k = 0; k < components; k++) {
                int64_t i = at + k * channels, weight = (weights[i] << WEIGHT_BITS) / total;
                weights[i] = weight;
                left -= weight;
                if (weight > weights[which]) which = i;
            }
            weights[which] += left;
        }
    return 0;
}

/* ------------------------------------------------------------------------------------------- Sums in windows */

FOR_ALL_PROCESSORS
int64_t add_up(const float *x, int64_t channels, int64_t height, int64_t width, const float *window, int64_t places,
               int64_t margin, float *total, float *result, int64_t result_channels, int64_t rows, int64_t columns) {
    for (int64_t channel = 0; channel < channels; channel++)
        for (int64_t row = 0; row < rows; row++) {
            float *out = result + (channel * rows + row) * columns;
            memset(total, 0, (size_t)width * sizeof *total);
            for (int64_t place = 0; place < places; place++) {
                int64_t source = row + place - margin;
                if (source < 0 || source >= height) continue;
                const float *from = x + (channel * height + source) * width, weight = window[place];
                for (int64_t column = 0; column < width; column++) total[column] += weight * from[column];
            }
            memset(out, 0, (size_t)columns * sizeof *out);
            for (int64_t place = 0; place < places; place++) {
                int64_t shift = place - margin, last = least(columns, width - shift);
                const float weight = window[place];
                for (int64_t column = most(0, -shift); column < last; column++)
                    out[column] += weight * total[column + shift];
            }
        }
    (void)result_channels;
    return 0;
}
