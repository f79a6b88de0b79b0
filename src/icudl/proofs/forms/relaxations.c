/* Lines with errors for sigmoid and tanh (``relaxations.py``, which gives the formulae), and what they are for: the gates
 * of an hour of an LSTM alongside the unchanged stay (``alongside/hours.py``).
 *
 * Every bound of rounding is that of the Python; functions of libm err by far less than it allows for.
 */

#include <math.h>
#include <stdint.h>

#define EVALUATION 0x1p-21
#define SINGLE 0x1p-24
#define ROUNDING 0x1p-38
#define UPWARD (1 + 0x1p-22)
#define NARROW 1e-6
#define WIDE 16 /* sums taken side by side */

typedef struct {
    double slope, offset, error;
} Line;

static inline double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static inline double larger(double a, double b) { return a > b ? a : b; }
static inline double smaller(double a, double b) { return a < b ? a : b; }

/* The line of a function whose slope occurs at a tangency and at its negative only, where it has the values ``there`` and
 * ``opposite``. What is no number stays none. */
static inline Line line(double lower, double upper, double low, double high, double slope, double tangency, double there,
                        double opposite) {
    const double at_lower = low - slope * lower, at_upper = high - slope * upper;
    double least = smaller(at_lower, at_upper), most = larger(at_lower, at_upper);
    if (tangency > lower && tangency < upper) {
        const double distance = there - slope * tangency;
        least = smaller(least, distance), most = larger(most, distance);
    }
    if (-tangency > lower && -tangency < upper) {
        const double distance = opposite + slope * tangency;
        least = smaller(least, distance), most = larger(most, distance);
    }
    const double size = fabs(low) + fabs(high) + slope * larger(fabs(lower), fabs(upper));
    Line found = {slope, (most + least) / 2, (most - least) / 2 + EVALUATION * (1 + size)};
    if (!isfinite(lower) || !isfinite(upper)) found.error = NAN;
    return found;
}

static Line sigmoid_line(double lower, double upper) {
    const double low = sigmoid(lower), high = sigmoid(upper), width = upper - lower;
    double slope;
    if (width < NARROW) {
        const double value = sigmoid((lower + upper) / 2);
        slope = value * (1 - value);
    } else {
        slope = larger((high - low) / width, 0);
    }
    const double root = 2 * slope / (1 + sqrt(larger(1 - 4 * slope, 0)));
    const double tangency = log1p(-root) - log(root);
    return line(lower, upper, low, high, slope, tangency, 1 - root, root);
}

static Line tanh_line(double lower, double upper) {
    const double low = tanh(lower), high = tanh(upper), width = upper - lower;
    double slope;
    if (width < NARROW) {
        const double value = tanh((lower + upper) / 2);
        slope = larger(1 - value * value, 0);
    } else {
        slope = larger((high - low) / width, 0);
    }
    const double y = sqrt(larger(1 - slope, 0)), tangency = log((1 + y) / sqrt(slope));
    return line(lower, upper, low, high, slope, tangency, y, -y);
}

/* n lines; kind 0 for sigmoid, 1 for tanh. */
void relax(int64_t n, int64_t kind, const double *lower, const double *upper, double *slope, double *offset, double *error) {
    for (int64_t i = 0; i < n; i++) {
        const Line found = kind ? tanh_line(lower[i], upper[i]) : sigmoid_line(lower[i], upper[i]);
        slope[i] = found.slope, offset[i] = found.offset, error[i] = found.error;
    }
}

/* Numbers ``middle + e moves + known + fresh`` (``alongside/noisy.py``). */
typedef struct {
    double middle, moves, known, fresh;
} Noisy;

static inline double noise(Noisy a) { return a.known + a.fresh; }
static inline double size(Noisy a) { return fabs(a.middle) + fabs(a.moves) + noise(a); }

static inline Noisy through(Noisy a, int64_t kind, double slope) {
    const double reach = (fabs(a.moves) + noise(a)) * (1 + ROUNDING), room = ROUNDING * (fabs(a.middle) + reach);
    const double lower = a.middle - reach - room, upper = a.middle + reach + room;
    const Line by = kind ? tanh_line(lower, upper) : sigmoid_line(lower, upper);
    const double steep = fabs(by.slope), error = by.error + ROUNDING * (steep * size(a) + fabs(by.offset));
    Noisy found = {by.slope * a.middle + by.offset, by.slope * a.moves, fabs(slope) * a.known,
                   fabs(by.slope - slope) * a.known + steep * a.fresh + error};
    return found;
}

static inline Noisy times(Noisy a, Noisy b, double at, double other_at) {
    const double half = a.moves * b.moves / 2;
    double fresh = fabs(a.middle - at) * b.known + fabs(b.middle - other_at) * a.known;
    fresh += fabs(a.middle) * b.fresh + fabs(b.middle) * a.fresh + fabs(half);
    fresh += fabs(a.moves) * noise(b) + fabs(b.moves) * noise(a) + noise(a) * noise(b);
    fresh += (2 * SINGLE + 16 * ROUNDING) * size(a) * size(b);
    Noisy found = {a.middle * b.middle + half, a.middle * b.moves + b.middle * a.moves,
                   fabs(at) * b.known + fabs(other_at) * a.known, fresh};
    return found;
}

static inline Noisy plus(Noisy a, Noisy b) {
    Noisy found = {a.middle + b.middle, a.moves + b.moves, a.known + b.known,
                   a.fresh + b.fresh + 2 * SINGLE * (size(a) + size(b))};
    return found;
}

/* K errors through an hour: ``LstmHour.carry``, from what they do to gates before their activation on. */
void lstm_carry(int64_t units, int64_t known, const float *factor, const float *forget, const float *out, const float *raw,
                const float *carried, float *onward, float *sizes, int64_t raw_row, int64_t carried_row, int64_t onward_row,
                int64_t sizes_row) {
    for (int64_t j = 0; j < units; j++) {
        const float *entry = raw + j * raw_row, *keep = entry + units * raw_row, *candidate = keep + units * raw_row,
                    *leave = candidate + units * raw_row;
        const float *hidden = carried + j * carried_row, *memory = hidden + units * carried_row;
        float *new_hidden = onward + j * onward_row, *new_memory = new_hidden + units * onward_row;
        float *size = sizes + j * sizes_row;
        const int64_t next = units * sizes_row;
        const float by_entry = factor[j], by_keep = factor[units + j], by_candidate = factor[2 * units + j];
        const float by_leave = factor[3 * units + j], kept = forget[j], shown = out[j];
        for (int64_t k = 0; k < known; k++) {
            const float after = memory[k] * kept + entry[k] * by_entry + keep[k] * by_keep + candidate[k] * by_candidate;
            new_hidden[k] = after * shown + leave[k] * by_leave;
            new_memory[k] = after;
            size[k] = fabsf(hidden[k]);
            size[next + k] = fabsf(entry[k]);
            size[2 * next + k] = fabsf(keep[k]);
            size[3 * next + k] = fabsf(candidate[k]);
            size[4 * next + k] = fabsf(leave[k]);
            size[5 * next + k] = fabsf(after);
        }
    }
}

/* The same for errors of a single pass, which are multiplied with the sizes at once: noise, (6 H). */
void lstm_carry_noise(int64_t units, int64_t known, const float *factor, const float *forget, const float *out,
                      const float *errors, const float *raw, const float *carried, float *onward, float *noise,
                      int64_t raw_row, int64_t carried_row, int64_t onward_row) {
    for (int64_t j = 0; j < units; j++) {
        const float *entry = raw + j * raw_row, *keep = entry + units * raw_row, *candidate = keep + units * raw_row,
                    *leave = candidate + units * raw_row;
        const float *hidden = carried + j * carried_row, *memory = hidden + units * carried_row;
        float *new_hidden = onward + j * onward_row, *new_memory = new_hidden + units * onward_row;
        const float by_entry = factor[j], by_keep = factor[units + j], by_candidate = factor[2 * units + j];
        const float by_leave = factor[3 * units + j], kept = forget[j], shown = out[j];
        float sums[6][WIDE] = {{0}};
        for (int64_t begin = 0; begin < known; begin += WIDE) {
            const int64_t end = begin + WIDE < known ? begin + WIDE : known;
            for (int64_t k = begin; k < end; k++) {
                const float after = memory[k] * kept + entry[k] * by_entry + keep[k] * by_keep + candidate[k] * by_candidate;
                new_hidden[k] = after * shown + leave[k] * by_leave;
                new_memory[k] = after;
                sums[0][k - begin] += fabsf(hidden[k]) * errors[k];
                sums[1][k - begin] += fabsf(entry[k]) * errors[k];
                sums[2][k - begin] += fabsf(keep[k]) * errors[k];
                sums[3][k - begin] += fabsf(candidate[k]) * errors[k];
                sums[4][k - begin] += fabsf(leave[k]) * errors[k];
                sums[5][k - begin] += fabsf(after) * errors[k];
            }
        }
        for (int64_t r = 0; r < 6; r++) {
            float sum = 0;
            for (int64_t k = 0; k < WIDE; k++) sum += sums[r][k];
            noise[r * units + j] = sum;
        }
    }
}

typedef struct {
    int64_t units;         /* H */
    int64_t columns;       /* C */
    int64_t apart;         /* 0 where all passes run alongside one stay, 1 where each has its own: arrays then have B rows */
    const double *gates;   /* (4 H) gates of the unchanged stay */
    const double *steep;   /* (4 H) their slopes */
    const double *factor;  /* (4 H) what a gate before its activation does to the memory, the last to the hidden units */
    const double *before;  /* (H) memory before the hour */
    const double *curbed;  /* (H) tanh of the memory after it */
    const double *curve;   /* (H) slope of that tanh */
} LstmHour;

typedef struct {
    int64_t passes;
    const double *middle; /* (B, 4 H) gates before their activation */
    const double *moves;  /* (B, 4 H) */
    const double *own;    /* (B, 4 H) errors of the inputs times the weights */
    const double *added;  /* (B, 4 H) sizes of all that is added up */
    const double *spread; /* (B, 4 H) noise of the hidden units times the sizes of their weights */
    const double *seen;   /* (B, .) noise: hidden units, gates before their activation, memory after the hour */
    int64_t seen_row;     /* numbers from one pass to the next */
    double *state;        /* (B, 2 H) hidden units and memory, middle: before, and then after the hour */
    double *state_moves;  /* (B, 2 H) */
    double *beyond;       /* (B, H) noise of the memory: before, and then after the hour */
    float *errors;        /* (B, 2 H) errors of the hour, rounded up */
    int64_t errors_row;   /* numbers from one pass to the next */
} LstmPasses;

/* The step of ``LstmHour.step``, for each pass. */
void lstm_hour(const LstmHour *hour, const LstmPasses *p) {
    const int64_t units = hour->units;
    const double rounding = SINGLE * (units + hour->columns + 16), loss = SINGLE * (2 * units + 24);
    for (int64_t b = 0; b < p->passes; b++) {
        const int64_t row = b * 4 * units, wide = hour->apart * row, narrow = hour->apart * b * units;
        const double *all_gates = hour->gates + wide, *all_steep = hour->steep + wide, *all_factors = hour->factor + wide;
        const double *seen = p->seen + b * p->seen_row;
        double *middle = p->state + b * 2 * units, *moves = p->state_moves + b * 2 * units, *beyond = p->beyond + b * units;
        float *errors = p->errors + b * p->errors_row;
        for (int64_t j = 0; j < units; j++) {
            Noisy gates[4];
            const double *at = all_gates + j, curve = hour->curve[narrow + j];
            double lost = at[units] * beyond[j], last = 0;
            for (int64_t k = 0; k < 4; k++) {
                const int64_t i = k * units + j, g = row + i;
                const double fresh = p->own[g] + rounding * p->added[g] + loss * p->spread[g];
                const Noisy raw = {p->middle[g], p->moves[g], seen[units + i], fresh};
                gates[k] = through(raw, k == 2, all_steep[i]);
                if (k < 3) lost += fabs(all_factors[i]) * p->spread[g];
                else last = fabs(all_factors[i]) * p->spread[g];
            }
            const Noisy held = {middle[units + j], moves[units + j], beyond[j], 0};
            Noisy memory = plus(times(gates[1], held, at[units], hour->before[narrow + j]), times(gates[0], gates[2], at[0], at[2 * units]));
            const double memory_error = (memory.fresh + loss * lost) * (1 + ROUNDING);
            memory.known = seen[5 * units + j] + memory_error, memory.fresh = 0;
            const Noisy shown = through(memory, 1, curve);
            const Noisy out = times(gates[3], shown, at[3 * units], hour->curbed[narrow + j]);
            const double lost_units = loss * (fabs(at[3 * units] * curve) * lost + last);
            const double error = (out.fresh + lost_units + 2 * SINGLE * memory_error) * (1 + ROUNDING);
            middle[j] = out.middle, moves[j] = out.moves, errors[j] = (float)(error * UPWARD);
            middle[units + j] = memory.middle, moves[units + j] = memory.moves, beyond[j] = memory.known;
            errors[units + j] = (float)(memory_error * UPWARD);
        }
    }
}
