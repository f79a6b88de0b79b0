/* Passes through one LSTM or GRU layer of M networks of one shape, forward and backward.
 *
 * N stays are read in groups of a few. A group stays in the cache from the first hour to the read-out, and the gates of
 * an hour are computed in the registers that hold the product with the recurrent weights. What a stay's numbers are does
 * not depend on the other stays of its group: each sum is taken in a fixed order.
 *
 * Steps count in the order in which a direction reads: forward, step s is hour s; backward, hour length - 1 - s. Known
 * stays have their states, the inputs of their gates (drive) and their part in the attention by step; a variant of a known
 * stay is read from its first changed step on. H, A and K are counted in whole vectors: what is added is zero.
 *
 * The drive of an hour has four blocks that lie side by side for each vector of units: candidate, entry, keep and exit of
 * an LSTM; reset, update, the state's part of the candidate (a constant) and the inputs' part of a GRU. The state adds to
 * the first G of them: all four, or three. A GRU has no cells.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#define SMALLER(a, b) (vec) _mm512_min_ps(a, b)
#define LARGER(a, b) (vec) _mm512_max_ps(a, b)
#define SAME(x) (vec){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}
#define ROWS 6
#define GRU_ROWS 6
#define TALL 8
#elif defined(__AVX__)
#define LANES 8
#define SMALLER(a, b) (vec) _mm256_min_ps(a, b)
#define LARGER(a, b) (vec) _mm256_max_ps(a, b)
#define SAME(x) (vec){x, x, x, x, x, x, x, x}
#define ROWS 3
#define GRU_ROWS 4
#define TALL 4
#else
#define LANES 4
#if defined(__x86_64__)
#define SMALLER(a, b) (vec) _mm_min_ps(a, b)
#define LARGER(a, b) (vec) _mm_max_ps(a, b)
#endif
#define SAME(x) (vec){x, x, x, x}
#define ROWS 3
#define GRU_ROWS 4
#define TALL 4
#endif
#define GATES 4
#define GRU_GATES 3
#define PANEL 3
#define KEPT 5

/* Kept in a register: reading it again for each row would take longer than the multiplications. */
#if defined(__x86_64__)
#define IN_REGISTER(x) __asm__("" : "+x"(x))
#elif defined(__aarch64__)
#define IN_REGISTER(x) __asm__("" : "+w"(x))
#else
#define IN_REGISTER(x)
#endif
#define UNROLL _Pragma("GCC unroll 16")

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float memory_vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t bits __attribute__((vector_size(4 * LANES)));

enum { MEAN, ATTENTION, ENDS };
enum { LSTM, GRU };

typedef struct {
    int64_t networks, directions, hours, size, look_size, moving, moving_size, readout, single, cell;
    const float *by_state;   /* (D, M, H / LANES, H, G, LANES) */
    const float *by_input;   /* (D, K, M, 4 H) */
    const float *look;       /* (D, M) panels of (H, A) */
    const float *look_bias;  /* (M, A) */
    const float *look_out;   /* (M, A) */
    const float *back_state; /* (D, M) panels of (G H, H): the first rows of an hour's gradient */
    const float *back_input; /* (D, M) panels of (G H, K): the last ones */
    const float *look_back;  /* (D, M) panels of (A, H) */
} Networks;

typedef struct {
    int64_t stays;             /* B */
    const float *moving;       /* (B, T, K) without padding to whole vectors */
    const float *drive;        /* (D, B, T, M, 4 H) by hour */
    int64_t anchors;           /* B' known variants of these stays, or the stays themselves */
    const float *anchor_moving; /* (B', T, K) */
    const float *states;       /* (D, M, B', T + 1, H) by step; nothing is known without them */
    const float *cells;        /* (D, M, B', T + 1, H); none of a GRU */
    const float *looks;        /* (D, M, B', T, A) by step */
} Known;

typedef struct {
    float *states, *cells, *looks; /* as of known stays, but of N stays */
    float *gates;                  /* (D, M, N, T, 5, H); four of a GRU are in use */
    float *looked;                 /* (M, N, T, A) by hour */
    float *weights;                /* (M, N, T) by hour */
    int64_t *begins;               /* (D, N) first step that is read */
    int64_t *starts;               /* (D, N) first step of the stay's group */
} Course;

int64_t lanes(void) { return LANES; }

static int64_t gates_of(const Networks *net) { return net->cell == GRU ? GRU_GATES : GATES; }
static int64_t cell_size(const Networks *net) { return net->cell == GRU ? 0 : net->size; }

static inline vec load(const float *from) { return *(const memory_vec *)from; }
static inline void store(float *to, vec value) { *(memory_vec *)to = value; }
static inline vec constant(float value) { return SAME(value); }

/* What is no number stays none. */
static inline vec between(vec x, float low, float high) {
#if defined(SMALLER)
    return LARGER(constant(low), SMALLER(constant(high), x));
#else
    bits below = x < constant(low), above = x > constant(high);
    x = (vec)((below & (bits)constant(low)) | (~below & (bits)x));
    return (vec)((above & (bits)constant(high)) | (~above & (bits)x));
#endif
}

/* 2^y for y between -60 and 60, so that two of them can be multiplied; the polynomial is within 3e-9 for |f| <= 1/2. */
static inline vec power_of_two(vec y) {
    y = between(y, -60.0f, 60.0f);
    vec shifted = y + 12582912.0f; /* 1.5 * 2^23: the last bits are the whole part */
    vec f = y - (shifted - 12582912.0f);
    const vec square = f * f;
    vec high = square * 1.5461444725e-4f + (f * 1.3400428178e-3f + 9.6180566784e-3f);
    high = square * high + (f * 5.5503272267e-2f + 2.4022650922e-1f);
    const vec p = square * high + (f * 6.9314720670e-1f + 1.0f);
    return (vec)((bits)p + ((bits)shifted << 23));
}

#define SIGMOID (-1.44269504f) /* 1 / (1 + 2^(x SIGMOID)) is the sigmoid of x, */
#define SQUASH (-2.88539008f)  /* and 2 / (1 + 2^(x SQUASH)) - 1 its hyperbolic tangent. */

static inline vec sigmoid(vec x) { return 1.0f / (1.0f + power_of_two(x * SIGMOID)); }
static inline vec squash(vec x) { return 2.0f / (1.0f + power_of_two(x * SQUASH)) - 1.0f; }

/* 1 / (1 + 2^one) and 1 / (1 + 2^other), by a single division. */
static inline void two_shares(vec *one, vec *other) {
    const vec first = 1.0f + power_of_two(*one), second = 1.0f + power_of_two(*other);
    const vec inverse = 1.0f / (first * second);
    *one = inverse * second;
    *other = inverse * first;
}

/* ---- products ---- */

/* Take the product of rows a (k,) of `tall` stays with a panel (k, width), from sums to sums of `width` vectors each.
 *
 * `steps` adds what a row of the panel gives. Sums and the longer side of the tile fill the registers, so it runs over the
 * other side.
 */
#define MULTIPLY(name, tall, width, STEPS)                                                                            \
    static __attribute__((noinline)) void name(int64_t k, const float *panel, const float *const *a,                  \
                                               const float *const *from, int64_t first_from, float *const *to,        \
                                               int64_t first_to) {                                                    \
        vec sum[tall][width];                                                                                         \
        const float *own[tall];                                                                                       \
        UNROLL for (int row = 0; row < tall; row++) {                                                                 \
            own[row] = a[row];                                                                                        \
            UNROLL for (int at = 0; at < width; at++) {                                                               \
                sum[row][at] = from ? load(from[row] + first_from + at * LANES) : constant(0.0f);                     \
            }                                                                                                         \
        }                                                                                                             \
        for (int64_t i = 0; i < k; i++, panel += width * LANES) STEPS(tall, width)                                               \
        UNROLL for (int row = 0; row < tall; row++)                                                                   \
            UNROLL for (int at = 0; at < width; at++)                                                                 \
                store(to[row] + first_to + at * LANES, sum[row][at]);                                                 \
    }
#define BY_VECTORS(tall, width)                                                                                       \
    {                                                                                                                 \
        vec factor[tall];                                                                                             \
        UNROLL for (int row = 0; row < tall; row++) factor[row] = constant(own[row][i]);                              \
        UNROLL for (int at = 0; at < width; at++) {                                                                   \
            vec weight = load(panel + at * LANES);                                                                    \
            IN_REGISTER(weight);                                                                                      \
            UNROLL for (int row = 0; row < tall; row++) sum[row][at] += factor[row] * weight;                         \
        }                                                                                                             \
    }
#define BY_ROWS(tall, width)                                                                                          \
    {                                                                                                                 \
        vec weight[width];                                                                                            \
        UNROLL for (int at = 0; at < width; at++) {                                                                   \
            weight[at] = load(panel + at * LANES);                                                                    \
            IN_REGISTER(weight[at]);                                                                                  \
        }                                                                                                             \
        UNROLL for (int row = 0; row < tall; row++) {                                                                 \
            vec factor = constant(own[row][i]);                                                                       \
            IN_REGISTER(factor);                                                                                      \
            UNROLL for (int at = 0; at < width; at++) sum[row][at] += factor * weight[at];                            \
        }                                                                                                             \
    }
MULTIPLY(multiply_gates, ROWS, GATES, BY_VECTORS)
MULTIPLY(multiply_gru_gates, GRU_ROWS, GRU_GATES, BY_ROWS)
MULTIPLY(multiply_1, TALL, 1, BY_ROWS)
MULTIPLY(multiply_2, TALL, 2, BY_ROWS)
MULTIPLY(multiply_3, TALL, 3, BY_ROWS)

/* The next panel of a matrix, given how much of its width is left: no single vector stays, which would take a panel alone. */
static int64_t panel_width(int64_t left) {
    return left == (PANEL + 1) * LANES ? 2 * LANES : left < PANEL * LANES ? left : PANEL * LANES;
}

/* Write or add the products of n rows (k,) with panels of a (k, width) matrix. Rows beyond a whole number of tiles repeat. */
static void multiply(int64_t n, int64_t k, int64_t width, const float *panels, const float **a, float **out, int adds) {
    for (int64_t first = 0, panel; first < width; first += panel) {
        panel = panel_width(width - first);
        const float *weights = panels + first * k;
        for (int64_t row = 0; row < n; row += TALL) {
            const float *from[TALL];
            float *to[TALL];
            for (int at = 0; at < TALL; at++) {
                int64_t own = row + at < n ? row + at : n - 1;
                from[at] = a[own];
                to[at] = out[own];
            }
            const float *const *sums = adds ? (const float *const *)to : 0;
            if (panel == 3 * LANES)
                multiply_3(k, weights, from, sums, first, to, first);
            else if (panel == 2 * LANES)
                multiply_2(k, weights, from, sums, first, to, first);
            else
                multiply_1(k, weights, from, sums, first, to, first);
        }
    }
}

/* The same for rows that lie one after the other. */
static void multiply_rows(int64_t n, int64_t k, int64_t width, const float *panels, const float *a, float *out, int adds) {
    const float *from[n];
    float *to[n];
    for (int64_t row = 0; row < n; row++) {
        from[row] = a + row * k;
        to[row] = out + row * width;
    }
    multiply(n, k, width, panels, from, to, adds);
}

/* Lay a (k, width) matrix out in panels. */
void to_panels(int64_t k, int64_t width, const float *matrix, float *panels) {
    for (int64_t first = 0, own; first < width; first += own) {
        own = panel_width(width - first);
        for (int64_t i = 0; i < k; i++, panels += own) memcpy(panels, matrix + i * width + first, own * sizeof(float));
    }
}

/* ---- a step forward ---- */

/* The gates of a vector of units of n stays, and their states and cells after the step; gates are written if there are any. */
static void step_units(int64_t size, int64_t unit, const float *weights, const float *const *drive,
                       const float *const *state, const float *const *cell, float *const *state_after,
                       float *const *cell_after, float *const *gates, int64_t n) {
    float sums[ROWS][GATES * LANES];
    float *to[ROWS];
    const int64_t first = unit * LANES;
    for (int row = 0; row < ROWS; row++) to[row] = sums[row];
    for (int64_t begin = 0; begin < n; begin += ROWS) {
        multiply_gates(size, weights, state + begin, drive + begin, unit * GATES * LANES, to, 0);
        vec after[ROWS], exit[ROWS];
        for (int row = 0; row < ROWS; row++) {
            vec candidate = load(sums[row]) * SQUASH, entry = load(sums[row] + LANES) * SIGMOID;
            vec keep = load(sums[row] + 2 * LANES) * SIGMOID, leave = load(sums[row] + 3 * LANES) * SIGMOID;
            two_shares(&candidate, &entry);
            two_shares(&keep, &leave);
            candidate = 2.0f * candidate - 1.0f;
            after[row] = keep * load(cell[begin + row] + first) + entry * candidate;
            exit[row] = leave;
            store(cell_after[begin + row] + first, after[row]);
            if (gates[0]) {
                float *own = gates[begin + row] + first;
                store(own, candidate);
                store(own + size, entry);
                store(own + 2 * size, keep);
                store(own + 3 * size, leave);
            }
        }
        UNROLL for (int row = 0; row < ROWS; row++) {
            after[row] = squash(after[row]);
            store(state_after[begin + row] + first, exit[row] * after[row]);
            if (gates[0]) store(gates[begin + row] + first + 4 * size, after[row]);
        }
    }
}

/* The same of a GRU. */
static void step_gru_units(int64_t size, int64_t unit, const float *weights, const float *const *drive,
                           const float *const *state, float *const *state_after, float *const *gates, int64_t n) {
    float sums[GRU_ROWS][GRU_GATES * LANES];
    float *to[GRU_ROWS];
    const int64_t first = unit * LANES;
    for (int row = 0; row < GRU_ROWS; row++) to[row] = sums[row];
    for (int64_t begin = 0; begin < n; begin += GRU_ROWS) {
        multiply_gru_gates(size, weights, state + begin, drive + begin, unit * GATES * LANES, to, 0);
        for (int row = 0; row < GRU_ROWS; row++) {
            vec reset = load(sums[row]) * SIGMOID, update = load(sums[row] + LANES) * SIGMOID;
            const vec own = load(sums[row] + 2 * LANES);
            two_shares(&reset, &update);
            const vec candidate =
                squash(load(drive[begin + row] + (unit * GATES + GRU_GATES) * LANES) + reset * own);
            store(state_after[begin + row] + first, candidate + update * (load(state[begin + row] + first) - candidate));
            if (gates[0]) {
                float *kept = gates[begin + row] + first;
                store(kept, reset);
                store(kept + size, update);
                store(kept + 2 * size, own);
                store(kept + 3 * size, candidate);
            }
        }
    }
}

/* ---- the reading of a group ---- */

#define GROUP 12

typedef struct {
    int64_t place, stay, anchor, length;
    int64_t begins[2];
    const uint8_t *moved; /* (T,) hours that differ from the stay whose drive is known */
} Row;

static int64_t steps_of(const Networks *net, int64_t direction, int64_t length) {
    return direction && net->single ? 1 : length;
}

static int64_t hour_of(int64_t direction, int64_t length, int64_t step) {
    int64_t hour = direction ? length - 1 - step : step;
    return hour < 0 ? 0 : hour >= length ? length - 1 : hour;
}

static int by_begins(const void *one, const void *other) {
    const Row *a = one, *b = other;
    for (int d = 0; d < 2; d++)
        if (a->begins[d] != b->begins[d]) return a->begins[d] < b->begins[d] ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

static int differ(const float *one, const float *other, int64_t n) {
    if (!memcmp(one, other, n * sizeof(float))) return 0;
    for (int64_t i = 0; i < n; i++)
        if (one[i] != other[i]) return 1;
    return 0;
}

/* Find where each stay has to be read, from the hours that differ and the reach (N, D) of its gradient.
 *
 * `moved` (N, T) receives the hours at which inputs differ from those whose drive is known.
 */
static void find_begins(const Networks *net, const Known *known, int64_t n, const float *features, const int64_t *stays,
                        const int64_t *anchors, const int64_t *lengths, const int64_t *reach, uint8_t *moved, Row *rows) {
    const int64_t hours = net->hours, moving = net->moving;
    for (int64_t i = 0; i < n; i++, moved += hours) {
        Row *row = rows + i;
        *row = (Row){i, stays[i], anchors[i], lengths[i], {0, 0}, moved};
        if (!known->states) continue;
        const float *own = features + i * hours * moving, *old = known->anchor_moving + row->anchor * hours * moving;
        const float *origin = known->moving + row->stay * hours * moving;
        int64_t first = row->length, last = -1;
        for (int64_t hour = 0; hour < row->length; hour++) {
            const int64_t at = hour * moving;
            moved[hour] = differ(own + at, origin + at, moving);
            if (old == origin ? !moved[hour] : !differ(own + at, old + at, moving)) continue;
            last = hour;
            if (first == row->length) first = hour;
        }
        row->begins[0] = first;
        row->begins[1] = row->length - 1 - last;
        if (net->single) row->begins[1] = 0;
        for (int64_t d = 0; reach && d < net->directions - net->single; d++) {
            int64_t most = row->length - reach[i * (net->directions - net->single) + d];
            most = most < 0 ? 0 : most;
            if (most < row->begins[d]) row->begins[d] = most;
        }
    }
}

typedef struct {
    const float *states, *looks; /* known ones of a stay; NULL if it is read from nothing */
    float *own_states, *own_cells, *own_looks, *own_gates;
    int64_t start;
} Way;

static const float *state_at(const Way *way, int64_t step, int64_t size) {
    return (step < way->start ? way->states : way->own_states) + step * size;
}

static const float *look_at(const Way *way, int64_t step, int64_t look_size) {
    return (step < way->start ? way->looks : way->own_looks) + step * look_size;
}

/* Read one direction of one network for a group. */
static void read_way(const Networks *net, const Known *known, int64_t direction, int64_t network, int64_t n,
                     const Row *const *rows, const float *features, Way (*ways)[2], int keeps, float *drives) {
    const int64_t size = net->size, hours = net->hours, moving = net->moving, blocks = GATES * size;
    const float *weights = net->by_state + (direction * net->networks + network) * size * gates_of(net) * size;
    const int64_t cells = cell_size(net);
    int64_t start = INT64_MAX, end = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t steps = steps_of(net, direction, rows[i]->length);
        if (rows[i]->begins[direction] < start) start = rows[i]->begins[direction];
        if (steps > end) end = steps;
    }
    for (int64_t i = 0; i < n; i++) {
        Way *way = &ways[i][direction];
        int64_t steps = steps_of(net, direction, rows[i]->length);
        way->start = start < steps ? start : steps;
        float *state = way->own_states + way->start * size, *cell = way->own_cells + way->start * cells;
        if (way->states) {
            int64_t at = ((direction * net->networks + network) * known->anchors + rows[i]->anchor) * (hours + 1);
            memcpy(state, way->states + way->start * size, size * sizeof(float));
            if (cells) memcpy(cell, known->cells + (at + way->start) * size, size * sizeof(float));
        } else {
            memset(state, 0, size * sizeof(float));
            if (cells) memset(cell, 0, size * sizeof(float));
        }
    }
    for (int64_t step = start; step < end; step++) {
        const float *drive[GROUP + TALL], *state[GROUP + TALL], *cell[GROUP + TALL];
        float *state_after[GROUP + TALL], *cell_after[GROUP + TALL], *gates[GROUP + TALL];
        int64_t reading = 0;
        for (int64_t i = 0; i < n; i++) {
            if (step >= steps_of(net, direction, rows[i]->length)) continue;
            const int64_t hour = hour_of(direction, rows[i]->length, step);
            const float *own_drive = known->drive +
                ((direction * known->stays + rows[i]->stay) * hours * net->networks + network) * blocks;
            const float *ahead = own_drive + hour_of(direction, rows[i]->length, step + 1) * net->networks * blocks;
            /* Stays lie far apart, so the processor does not guess what is read next. */
            for (int64_t at = 0; at < blocks; at += 64 / sizeof(float)) __builtin_prefetch(ahead + at);
            drive[reading] = own_drive + hour * net->networks * blocks;
            if (known->states && rows[i]->moved[hour]) {
                const float *own = features + (rows[i]->place * hours + hour) * moving;
                const float *old = known->moving + (rows[i]->stay * hours + hour) * moving;
                float *changed = drives + i * blocks;
                memcpy(changed, drive[reading], blocks * sizeof(float));
                for (int64_t k = 0; k < moving; k++) {
                    if (own[k] == old[k]) continue;
                    const float *by = net->by_input + ((direction * moving + k) * net->networks + network) * blocks;
                    vec factor = constant(own[k] - old[k]);
                    for (int64_t at = 0; at < blocks; at += LANES)
                        store(changed + at, load(changed + at) + factor * load(by + at));
                }
                drive[reading] = changed;
            }
            state[reading] = ways[i][direction].own_states + step * size;
            cell[reading] = ways[i][direction].own_cells + step * cells;
            state_after[reading] = ways[i][direction].own_states + (step + 1) * size;
            cell_after[reading] = ways[i][direction].own_cells + (step + 1) * cells;
            gates[reading] = keeps ? ways[i][direction].own_gates + step * KEPT * size : 0;
            reading++;
        }
        /* The last stay again, up to a whole tile. */
        for (int64_t i = reading; i < reading + TALL; i++) {
            drive[i] = drive[reading - 1];
            state[i] = state[reading - 1];
            cell[i] = cell[reading - 1];
            state_after[i] = state_after[reading - 1];
            cell_after[i] = cell_after[reading - 1];
            gates[i] = gates[reading - 1];
        }
        for (int64_t unit = 0; unit < size / LANES; unit++) {
            const float *own = weights + unit * size * gates_of(net) * LANES;
            if (net->cell == GRU)
                step_gru_units(size, unit, own, drive, state, state_after, gates, reading);
            else
                step_units(size, unit, own, drive, state, cell, state_after, cell_after, gates, reading);
        }
    }
    if (net->readout != ATTENTION) return;
    const float *look = net->look + (direction * net->networks + network) * size * net->look_size;
    for (int64_t i = 0; i < n; i++) {
        Way *way = &ways[i][direction];
        int64_t steps = steps_of(net, direction, rows[i]->length) - way->start;
        if (steps > 0)
            multiply_rows(steps, size, net->look_size, look, way->own_states + (way->start + 1) * size,
                          way->own_looks + way->start * net->look_size, 0);
    }
}

/* Copy what is known of the steps before those that were read. */
static void recall(const Networks *net, const Known *known, int64_t direction, int64_t network, const Row *row,
                   const Way *way) {
    const int64_t size = net->size, steps = way->start;
    const int64_t at = (direction * net->networks + network) * known->anchors + row->anchor;
    memcpy(way->own_states, way->states, steps * size * sizeof(float));
    if (cell_size(net)) memcpy(way->own_cells, known->cells + at * (net->hours + 1) * size, steps * size * sizeof(float));
    if (net->readout == ATTENTION) memcpy(way->own_looks, way->looks, steps * net->look_size * sizeof(float));
}

/* Weigh the hours of a stay and write the weighted sums of its states, (D, H). */
static void read_out(const Networks *net, int64_t network, int64_t length, const Way *ways, float *looked, int64_t keeps,
                     float *weights, float *read) {
    const int64_t size = net->size, width = net->look_size, directions = net->directions;
    if (net->readout == ENDS) {
        for (int64_t d = 0; d < directions; d++)
            memcpy(read + d * size, state_at(ways + d, steps_of(net, d, length), size), size * sizeof(float));
        return;
    }
    if (net->readout == MEAN) {
        for (int64_t hour = 0; hour < length; hour++) weights[hour] = 1.0f / (float)length;
    } else {
        const float *bias = net->look_bias + network * width, *out = net->look_out + network * width;
        float scores[length];
        for (int64_t hour = 0; hour < length; hour++) {
            const float *one = look_at(ways, hour, width);
            const float *other = directions > 1 ? look_at(ways + 1, length - 1 - hour, width) : 0;
            float *own = looked + (keeps ? hour * width : 0);
            vec sum = {0};
            for (int64_t at = 0; at < width; at += LANES) {
                vec look = load(one + at) + load(bias + at);
                if (other) look += load(other + at);
                look = sigmoid(look);
                if (keeps) store(own + at, look);
                sum += look * load(out + at);
            }
            float score = 0.0f;
            for (int lane = 0; lane < LANES; lane++) score += sum[lane];
            scores[hour] = score;
        }
        float highest = scores[0], total = 0.0f;
        for (int64_t hour = 1; hour < length; hour++) highest = scores[hour] > highest ? scores[hour] : highest;
        for (int64_t hour = 0; hour < length; hour += LANES) {
            vec x = {0};
            for (int lane = 0; lane < LANES && hour + lane < length; lane++) x[lane] = scores[hour + lane] - highest;
            vec power = power_of_two(x * 1.44269504f);
            for (int lane = 0; lane < LANES && hour + lane < length; lane++) {
                weights[hour + lane] = power[lane];
                total += power[lane];
            }
        }
        for (int64_t hour = 0; hour < length; hour++) weights[hour] /= total;
    }
    for (int64_t d = 0; d < directions; d++) {
        for (int64_t at = 0; at < size; at += 2 * LANES) {
            const int64_t next = at + LANES < size ? at + LANES : at;
            vec one = {0}, other = {0};
            for (int64_t hour = 0; hour < length; hour++) {
                const float *state = state_at(ways + d, (d ? length - 1 - hour : hour) + 1, size);
                const vec weight = constant(weights[hour]);
                one += weight * load(state + at);
                other += weight * load(state + next);
            }
            store(read + d * size + at, one);
            store(read + d * size + next, other);
        }
    }
}

/* Read N stays to the (M, N, D, H) read-out.
 *
 * With `keeps`, `own` receives what the gradient needs, or what is to be remembered; else it may be NULL. Variants of known
 * stays have (N, T, K) features. Returns 0, or -1 where there is no memory.
 */
int64_t read_stays(const Networks *net, const Known *known, int64_t n, const float *features, const int64_t *stays,
                   const int64_t *anchors, const int64_t *lengths, const int64_t *reach, int64_t keeps, int64_t keeps_gates, Course *own,
                   float *read) {
    const int64_t size = net->size, hours = net->hours, width = net->look_size, directions = net->directions;
    const int64_t capacity = keeps ? n : GROUP, slots = keeps ? net->networks : 1;
    const int64_t by_state = (hours + 1) * size, by_cell = (hours + 1) * cell_size(net), by_look = hours * width;
    Course scratch;
    Row *rows = malloc((n + 1) * sizeof(Row));
    const int64_t numbers = directions * GROUP * (by_state + by_cell + by_look);
    float *space = malloc((GROUP * GATES * size + (keeps ? 0 : numbers) + hours * width + hours) * sizeof(float));
    uint8_t *moved = malloc(n * hours + 1);
    if (!rows || !space || !moved) {
        free(rows);
        free(space);
        free(moved);
        return -1;
    }
    float *drives = space, *weights = space + GROUP * GATES * size, *looked = weights + hours;
    if (!keeps) {
        scratch.states = looked + hours * width;
        scratch.cells = scratch.states + directions * GROUP * by_state;
        scratch.looks = scratch.cells + directions * GROUP * by_cell;
        scratch.gates = 0;
        own = &scratch;
    }
    find_begins(net, known, n, features, stays, anchors, lengths, reach, moved, rows);
    qsort(rows, n, sizeof(Row), by_begins);
    for (int64_t first = 0; first < n; first += GROUP) {
        const int64_t members = n - first < GROUP ? n - first : GROUP;
        const Row *group[GROUP];
        for (int64_t i = 0; i < members; i++) group[i] = rows + first + i;
        for (int64_t network = 0; network < net->networks; network++) {
            Way ways[GROUP][2];
            for (int64_t d = 0; d < directions; d++) {
                for (int64_t i = 0; i < members; i++) {
                    const int64_t place = keeps ? group[i]->place : i, slot = keeps ? network : 0;
                    const int64_t at = (d * slots + slot) * capacity + place;
                    const int64_t at_known = (d * net->networks + network) * known->anchors + group[i]->anchor;
                    ways[i][d] = (Way){
                        .states = known->states ? known->states + at_known * by_state : 0,
                        .looks = known->looks ? known->looks + at_known * by_look : 0,
                        .own_states = own->states + at * by_state,
                        .own_cells = own->cells + at * by_cell,
                        .own_looks = own->looks + at * by_look,
                        .own_gates = keeps_gates ? own->gates + at * hours * KEPT * size : 0,
                    };
                }
                read_way(net, known, d, network, members, group, features, ways, keeps_gates, drives);
                for (int64_t i = 0; keeps && i < members; i++) {
                    if (known->states && !keeps_gates) recall(net, known, d, network, group[i], &ways[i][d]);
                    own->begins[d * n + group[i]->place] = group[i]->begins[d];
                    own->starts[d * n + group[i]->place] = ways[i][d].start;
                }
            }
            for (int64_t i = 0; i < members; i++) {
                const int64_t at = network * n + group[i]->place;
                read_out(net, network, group[i]->length, ways[i], keeps_gates ? own->looked + at * by_look : looked,
                         keeps_gates, keeps_gates ? own->weights + at * hours : weights, read + at * directions * size);
            }
        }
    }
    free(rows);
    free(space);
    free(moved);
    return 0;
}

/* ---- the way back ---- */

/* Fill an hour's gradient by blocks and pass on that of the cell, given the gradient by the state after the hour. */
static void step_back(int64_t size, const float *gates, const float *cell, const float *by_state, float *by_cell,
                      float *by_blocks) {
    for (int64_t at = 0; at < size; at += LANES) {
        const vec candidate = load(gates + at), entry = load(gates + size + at), keep = load(gates + 2 * size + at);
        const vec leave = load(gates + 3 * size + at), squashed = load(gates + 4 * size + at);
        const vec by = load(by_state + at);
        const vec through = load(by_cell + at) + by * leave * (1.0f - squashed * squashed);
        float *own = by_blocks + GATES * at;
        store(own, through * entry * (1.0f - candidate * candidate));
        store(own + LANES, through * candidate * entry * (1.0f - entry));
        store(own + 2 * LANES, through * load(cell + at) * keep * (1.0f - keep));
        store(own + 3 * LANES, by * squashed * leave * (1.0f - leave));
        store(by_cell + at, through * keep);
    }
}

/* The same of a GRU, whose state passes on a share of its gradient, if there is a step before.
 *
 * The blocks lie one after the other: the state's part of the candidate, reset, update, the inputs' part. The state comes
 * from the first three, the inputs from the last three.
 */
static void step_gru_back(int64_t size, const float *gates, const float *state, const float *by_state, float *by_before,
                          float *by_blocks) {
    for (int64_t at = 0; at < size; at += LANES) {
        const vec reset = load(gates + at), update = load(gates + size + at);
        const vec own = load(gates + 2 * size + at), candidate = load(gates + 3 * size + at);
        const vec by = load(by_state + at);
        const vec by_candidate = (by - by * update) * (1.0f - candidate * candidate);
        const vec by_own = by_candidate * reset;
        store(by_blocks + at, by_own);
        store(by_blocks + size + at, by_own * own * (1.0f - reset));
        store(by_blocks + 2 * size + at, by * (load(state + at) - candidate) * update * (1.0f - update));
        store(by_blocks + 3 * size + at, by_candidate);
        if (by_before) store(by_before + at, load(by_before + at) + by * update);
    }
}

/* Write (T, A) gradients by the looks of a stay's hours, given that of its read-out. */
static void back_of_looks(const Networks *net, int64_t network, int64_t length, const Way *ways, const float *looked,
                          const float *weights, const float *by_read, float *by_looks) {
    const int64_t size = net->size, width = net->look_size;
    float by_weight[length], mean = 0.0f;
    for (int64_t hour = 0; hour < length; hour++) {
        vec sum = {0};
        for (int64_t d = 0; d < net->directions; d++) {
            const float *state = state_at(ways + d, (d ? length - 1 - hour : hour) + 1, size);
            for (int64_t at = 0; at < size; at += LANES) sum += load(by_read + d * size + at) * load(state + at);
        }
        by_weight[hour] = 0.0f;
        for (int lane = 0; lane < LANES; lane++) by_weight[hour] += sum[lane];
        mean += weights[hour] * by_weight[hour];
    }
    for (int64_t hour = 0; hour < length; hour++) {
        const vec by_score = constant(weights[hour] * (by_weight[hour] - mean));
        for (int64_t at = 0; at < width; at += LANES) {
            const vec look = load(looked + hour * width + at);
            store(by_looks + hour * width + at,
                  by_score * load(net->look_out + network * width + at) * look * (1.0f - look));
        }
    }
}

/* Follow the gradient back through stays that were read with `keeps_gates`.
 *
 * by_read is (M, N, D, H); the gradient by features is (D', N, T, K'), whole vectors of the K that move; D' leaves out a
 * direction that reads a single hour, which counts to the first. It is 0 at hours before the first step that was asked for.
 */
int64_t back_stays(const Networks *net, const Known *known, int64_t n, const int64_t *anchors, const int64_t *lengths,
                   const Course *own, const float *by_read, float *gradient) {
    const int64_t size = net->size, hours = net->hours, width = net->look_size, directions = net->directions;
    const int64_t by_states = (hours + 1) * size, by_look = hours * width, blocks = GATES * size, inputs = net->moving_size;
    const int64_t gates = gates_of(net) * size, by_cells = (hours + 1) * cell_size(net);
    Row *rows = malloc((n + 1) * sizeof(Row));
    float *space = malloc(GROUP * (hours * (blocks + size + width) + size) * sizeof(float));
    if (!rows || !space) {
        free(rows);
        free(space);
        return -1;
    }
    float *by_blocks = space, *upstream = by_blocks + GROUP * hours * blocks, *by_looks = upstream + GROUP * hours * size;
    float *by_cell = by_looks + GROUP * hours * width;
    for (int64_t i = 0; i < n; i++) {
        rows[i] = (Row){i, 0, anchors[i], lengths[i], {own->begins[i], directions > 1 ? own->begins[n + i] : 0}, 0};
    }
    qsort(rows, n, sizeof(Row), by_begins);
    memset(gradient, 0, (directions - net->single) * n * hours * inputs * sizeof(float));
    for (int64_t first = 0; first < n; first += GROUP) {
        const int64_t members = n - first < GROUP ? n - first : GROUP;
        const Row *group = rows + first;
        for (int64_t network = 0; network < net->networks; network++) {
            Way ways[GROUP][2];
            for (int64_t i = 0; i < members; i++) {
                const int64_t place = group[i].place, in_network = network * n + place;
                for (int64_t d = 0; d < directions; d++) {
                    const int64_t at = (d * net->networks + network) * n + place;
                    const int64_t at_known = (d * net->networks + network) * known->anchors + group[i].anchor;
                    ways[i][d] = (Way){
                        .states = known->states ? known->states + at_known * by_states : 0,
                        .own_states = own->states + at * by_states,
                        .own_cells = own->cells + at * by_cells,
                        .own_gates = own->gates + at * hours * KEPT * size,
                        .start = own->starts[d * n + place],
                    };
                }
                if (net->readout == ATTENTION)
                    back_of_looks(net, network, group[i].length, ways[i], own->looked + in_network * by_look,
                                  own->weights + in_network * hours, by_read + in_network * directions * size,
                                  by_looks + i * by_look);
            }
            for (int64_t d = 0; d < directions; d++) {
                const float *back = net->back_state + (d * net->networks + network) * gates * size;
                const float *look_back = net->look_back + (d * net->networks + network) * width * size;
                int64_t begin = INT64_MAX, end = 0;
                for (int64_t i = 0; i < members; i++) {
                    const int64_t length = group[i].length, steps = steps_of(net, d, length);
                    const int64_t in_network = network * n + group[i].place;
                    const float *half = by_read + (in_network * directions + d) * size;
                    float *up = upstream + i * hours * size;
                    if (group[i].begins[d] < begin) begin = group[i].begins[d];
                    if (steps > end) end = steps;
                    for (int64_t step = group[i].begins[d]; step < steps; step++) {
                        const float share = net->readout == ENDS
                            ? (float)(step == steps - 1) : own->weights[in_network * hours + hour_of(d, length, step)];
                        for (int64_t at = 0; at < size; at += LANES)
                            store(up + step * size + at, constant(share) * load(half + at));
                    }
                    if (net->readout == ATTENTION && group[i].begins[d] < steps) {
                        const float *from[hours];
                        float *to[hours];
                        int64_t count = 0;
                        for (int64_t step = group[i].begins[d]; step < steps; step++, count++) {
                            from[count] = by_looks + i * by_look + hour_of(d, length, step) * width;
                            to[count] = up + step * size;
                        }
                        multiply(count, width, size, look_back, from, to, 1);
                    }
                    memset(by_cell + i * size, 0, size * sizeof(float));
                }
                for (int64_t step = end - 1; step >= begin; step--) {
                    const float *from[GROUP];
                    float *to[GROUP];
                    int64_t count = 0;
                    for (int64_t i = 0; i < members; i++) {
                        if (step < group[i].begins[d] || step >= steps_of(net, d, group[i].length)) continue;
                        float *own_blocks = by_blocks + (i * hours + step) * blocks;
                        const float *own_gates = ways[i][d].own_gates + step * KEPT * size;
                        float *by_state = upstream + (i * hours + step) * size;
                        if (net->cell == GRU)
                            step_gru_back(size, own_gates, state_at(&ways[i][d], step, size), by_state,
                                          step > group[i].begins[d] ? by_state - size : 0, own_blocks);
                        else
                            step_back(size, own_gates, ways[i][d].own_cells + step * size, by_state, by_cell + i * size,
                                      own_blocks);
                        if (step > group[i].begins[d]) {
                            from[count] = own_blocks;
                            to[count++] = upstream + (i * hours + step - 1) * size;
                        }
                    }
                    if (count) multiply(count, gates, size, back, from, to, 1);
                }
                const float *by_input = net->back_input + (d * net->networks + network) * gates * inputs;
                for (int64_t i = 0; i < members; i++) {
                    const int64_t steps = steps_of(net, d, group[i].length), from_step = group[i].begins[d];
                    if (from_step >= steps) continue;
                    float *own_gradient = gradient + ((net->single ? 0 : d * n) + group[i].place) * hours * inputs;
                    const float *from[hours];
                    float *to[hours];
                    int64_t count = 0;
                    for (int64_t step = from_step; step < steps; step++, count++) {
                        from[count] = by_blocks + (i * hours + step) * blocks + blocks - gates;
                        to[count] = own_gradient + hour_of(d, group[i].length, step) * inputs;
                    }
                    multiply(count, gates, inputs, by_input, from, to, 1);
                }
            }
        }
    }
    free(rows);
    free(space);
    return 0;
}
