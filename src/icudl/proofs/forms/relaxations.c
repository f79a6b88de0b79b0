/* Lines with errors for sigmoid and tanh (``relaxations.py``, which gives the formulae), and what they are for: the gates
 * of an hour of an LSTM alongside the unchanged stay (``alongside/hours.py``).
 *
 * Every bound of rounding is that of the Python; functions of libm err by far less than it allows for.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define EVALUATION 0x1p-21
#define SINGLE 0x1p-24
#define ROUNDING 0x1p-38
#define UPWARD (1 + 0x1p-22)
#define NARROW 0.2
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

/* The tangent in the middle, moved by half of what it bends to the ends; ``third`` bounds the third derivative. */
static inline Line tangent(double lower, double upper, double value, double first, double second, double third) {
    const double middle = (lower + upper) / 2, half = (upper - lower) / 2, bend = second * half * half / 4;
    const double size = 2 * fabs(value) + first * larger(fabs(lower), fabs(upper));
    Line found = {first, value - first * middle + bend, fabs(bend) + third / 6 * half * half * half + EVALUATION * (1 + size)};
    return found;
}

static Line sigmoid_line(double lower, double upper) {
    const double width = upper - lower;
    if (width < NARROW) {
        const double value = sigmoid((lower + upper) / 2), first = value * (1 - value);
        return tangent(lower, upper, value, first, first * (1 - 2 * value), 0.125);
    }
    const double low = sigmoid(lower), high = sigmoid(upper), slope = larger((high - low) / width, 0);
    const double root = 2 * slope / (1 + sqrt(larger(1 - 4 * slope, 0)));
    const double tangency = log1p(-root) - log(root);
    return line(lower, upper, low, high, slope, tangency, 1 - root, root);
}

static Line tanh_line(double lower, double upper) {
    const double width = upper - lower;
    if (width < NARROW / 2) {
        const double value = tanh((lower + upper) / 2), first = larger(1 - value * value, 0);
        return tangent(lower, upper, value, first, -2 * value * first, 2);
    }
    const double low = tanh(lower), high = tanh(upper), slope = larger((high - low) / width, 0);
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

/* WIDE numbers side by side. */
typedef float Wide __attribute__((vector_size(WIDE * sizeof(float))));
typedef int32_t Bits __attribute__((vector_size(WIDE * sizeof(int32_t))));

static inline Wide from(const float *numbers) {
    Wide found;
    memcpy(&found, numbers, sizeof found);
    return found;
}

static inline void to(float *numbers, Wide found) { memcpy(numbers, &found, sizeof found); }

static inline Wide sizes_of(Wide numbers) { return (Wide)((Bits)numbers & 0x7fffffff); }

/* How unit ``j`` carries errors through an hour; rows of what they do to the hidden unit and the four gates before their
 * activation, and to the memory. */
typedef struct {
    const float *rows[6];
    float *onward[2];
    float factor[4], kept, shown;
} Unit;

static Unit unit_of(int64_t j, int64_t units, const float *factor, const float *forget, const float *out, const float *raw,
                    const float *carried, float *onward, int64_t raw_row, int64_t carried_row, int64_t onward_row) {
    Unit unit = {{carried + j * carried_row}, {onward + j * onward_row, onward + (units + j) * onward_row}, {0}, forget[j], out[j]};
    for (int64_t r = 0; r < 4; r++) {
        unit.rows[r + 1] = raw + (r * units + j) * raw_row;
        unit.factor[r] = factor[r * units + j];
    }
    unit.rows[5] = carried + (units + j) * carried_row;
    return unit;
}

/* WIDE errors through it; ``seen`` is what they do to the six numbers that are to be bounded. */
static inline void pass(const Unit *unit, int64_t k, Wide *seen) {
    for (int64_t r = 0; r < 5; r++) seen[r] = from(unit->rows[r] + k);
    const float *by = unit->factor;
    seen[5] = from(unit->rows[5] + k) * unit->kept + seen[1] * by[0] + seen[2] * by[1] + seen[3] * by[2];
    to(unit->onward[0] + k, seen[5] * unit->shown + seen[4] * by[3]), to(unit->onward[1] + k, seen[5]);
}

/* One error. */
static inline void pass_one(const Unit *unit, int64_t k, float *seen) {
    for (int64_t r = 0; r < 5; r++) seen[r] = unit->rows[r][k];
    const float *by = unit->factor;
    seen[5] = unit->rows[5][k] * unit->kept + seen[1] * by[0] + seen[2] * by[1] + seen[3] * by[2];
    unit->onward[0][k] = seen[5] * unit->shown + seen[4] * by[3], unit->onward[1][k] = seen[5];
}

/* K errors through an hour: ``LstmHour.carry``, from what they do to gates before their activation on. */
void lstm_carry(int64_t units, int64_t known, const float *factor, const float *forget, const float *out, const float *raw,
                const float *carried, float *onward, float *sizes, int64_t raw_row, int64_t carried_row, int64_t onward_row,
                int64_t sizes_row) {
    const int64_t wide = known - known % WIDE;
    for (int64_t j = 0; j < units; j++) {
        const Unit unit = unit_of(j, units, factor, forget, out, raw, carried, onward, raw_row, carried_row, onward_row);
        for (int64_t k = 0; k < wide; k += WIDE) {
            Wide seen[6];
            pass(&unit, k, seen);
            for (int64_t r = 0; r < 6; r++) to(sizes + (r * units + j) * sizes_row + k, sizes_of(seen[r]));
        }
        for (int64_t k = wide; k < known; k++) {
            float seen[6];
            pass_one(&unit, k, seen);
            for (int64_t r = 0; r < 6; r++) sizes[(r * units + j) * sizes_row + k] = fabsf(seen[r]);
        }
    }
}

/* The same for errors of a single pass, which are multiplied with the sizes at once: noise, (6 H). */
void lstm_carry_noise(int64_t units, int64_t known, const float *factor, const float *forget, const float *out,
                      const float *errors, const float *raw, const float *carried, float *onward, float *noise,
                      int64_t raw_row, int64_t carried_row, int64_t onward_row) {
    const int64_t wide = known - known % WIDE;
    for (int64_t j = 0; j < units; j++) {
        const Unit unit = unit_of(j, units, factor, forget, out, raw, carried, onward, raw_row, carried_row, onward_row);
        Wide sums[6] = {{0}};
        float last[6] = {0};
        for (int64_t k = 0; k < wide; k += WIDE) {
            Wide seen[6];
            pass(&unit, k, seen);
            const Wide by = from(errors + k);
            for (int64_t r = 0; r < 6; r++) sums[r] += sizes_of(seen[r]) * by;
        }
        for (int64_t k = wide; k < known; k++) {
            float seen[6];
            pass_one(&unit, k, seen);
            for (int64_t r = 0; r < 6; r++) last[r] += fabsf(seen[r]) * errors[k];
        }
        for (int64_t r = 0; r < 6; r++) {
            float sum = last[r];
            for (int64_t k = 0; k < WIDE; k++) sum += sums[r][k];
            noise[r * units + j] = sum;
        }
    }
}

static inline void exchange(int64_t *a, int64_t *b) {
    const int64_t kept = *a;
    *a = *b, *b = kept;
}

/* Put the places of the n largest numbers first (Hoare's selection). What is no number counts as the largest. */
static void largest_first(const float *numbers, int64_t *places, int64_t count, int64_t n) {
    int64_t low = 0, high = count - 1;
    while (low < high) {
        const float pivot = numbers[places[low + (high - low) / 2]];
        int64_t i = low, j = high;
        while (i <= j) {
            while (numbers[places[i]] > pivot) i++;
            while (numbers[places[j]] < pivot) j--;
            if (i <= j) exchange(places + i++, places + j--);
        }
        if (n <= j + 1) high = j;
        else if (n > i) low = i;
        else return;
    }
}

/* Of K errors of a pass, keep those that move the state most, and add up what the others do to it.
 *
 * after: (S, kept) what the kept ones do to the state; kept_errors: (kept) their sizes; sums: (S).
 * Room: weights (K), places (K). */
void merge(int64_t total, int64_t known, int64_t kept, const float *errors, const float *carried, float *after,
           float *kept_errors, float *sums, float *weights, int64_t *places, int64_t carried_row, int64_t after_row) {
    memset(weights, 0, known * sizeof *weights);
    for (int64_t s = 0; s < total; s++)
        for (int64_t k = 0; k < known; k++) weights[k] += fabsf(carried[s * carried_row + k]);
    for (int64_t k = 0; k < known; k++) {
        weights[k] *= errors[k], places[k] = k;
        if (!(weights[k] < INFINITY)) weights[k] = INFINITY;
    }
    largest_first(weights, places, known, kept);
    memcpy(weights, errors, known * sizeof *weights);
    for (int64_t i = 0; i < kept; i++) kept_errors[i] = errors[places[i]], weights[places[i]] = 0;
    for (int64_t s = 0; s < total; s++) {
        const float *row = carried + s * carried_row;
        float parts[WIDE] = {0};
        for (int64_t begin = 0; begin < known; begin += WIDE)
            for (int64_t i = 0; i < WIDE && begin + i < known; i++) parts[i] += fabsf(row[begin + i]) * weights[begin + i];
        sums[s] = 0;
        for (int64_t i = 0; i < WIDE; i++) sums[s] += parts[i];
        for (int64_t i = 0; i < kept; i++) after[s * after_row + i] = row[places[i]];
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
