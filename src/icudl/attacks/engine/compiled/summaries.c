/* Hidden layers of networks on window summaries, for variants of known stays: only the columns that differ are summarised
 * and encoded, and what that changes is added to what is known. See icudl.models.encoding for the summaries.
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SUMMARIES = 8, BINS = 4 };

typedef struct {
    int64_t hours, moving, columns, moving_columns, units; /* T, K, U, the first U' of these, R */
    const int64_t *column_of;      /* (U') the feature of each */
    const float *low, *width;      /* (4, 8, U) */
    const float *centre, *spread;  /* (8, U) */
    const float *used;             /* (8, U) */
    const float *hidden;           /* (6, 8, U, R) */
    const float *around;           /* (6, 8, U) */
    float scale, score_scale, score_limit, least_variance;
} Encoding;

typedef struct {
    const float *moving;      /* (B, T, K) */
    const uint8_t *counted;   /* (B, T, U) */
    const float *late;        /* (B, T, U) */
    const float *late_square; /* (B, U) */
    const int64_t *ends;      /* (B, 2, U) */
    const float *count;       /* (B, U) */
    const float *summaries;   /* (B, 8, U) */
    const float *hidden;      /* (B, R) */
    const float *around;      /* (B,) */
} KnownSummaries;

static float kept_within(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

/* The summaries of a column except for the number of hours. */
static void summarise(const Encoding *encoding, const KnownSummaries *known, int64_t stay, int64_t column,
                      const float *values, float *summaries) {
    const int64_t columns = encoding->columns, moving = encoding->moving;
    const uint8_t *counted = known->counted + stay * encoding->hours * columns + column;
    const float *late = known->late + stay * encoding->hours * columns + column;
    const float count = known->count[stay * columns + column];
    const int64_t *ends = known->ends + stay * 2 * columns + column;
    double sum = 0.0, squares = 0.0, rise = 0.0;
    float least = INFINITY, most = -INFINITY;
    for (int64_t hour = 0; hour < encoding->hours; hour++) {
        if (!counted[hour * columns]) continue;
        const float value = values[hour * moving];
        sum += value;
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    const double mean = sum / count;
    for (int64_t hour = 0; hour < encoding->hours; hour++) {
        if (!counted[hour * columns]) continue;
        const double centred = values[hour * moving] - mean;
        squares += centred * centred;
        rise += centred * late[hour * columns];
    }
    summaries[0] = values[ends[0] * moving];
    summaries[1] = values[ends[columns] * moving];
    summaries[2] = least;
    summaries[3] = most;
    summaries[4] = (float)mean;
    summaries[5] = (float)sqrt(squares / (count > 2.0f ? count - 1.0f : 1.0f) + encoding->least_variance);
    summaries[6] = (float)(rise / known->late_square[stay * columns + column]);
}

/* Add to the hidden layer what a change of an encoded number does. */
static void add(const Encoding *encoding, int64_t row, float change, float *hidden, float *around) {
    if (change == 0.0f) return;
    const float *weights = encoding->hidden + row * encoding->units;
    for (int64_t unit = 0; unit < encoding->units; unit++) hidden[unit] += change * weights[unit];
    *around += change * encoding->around[row];
}

/* Write the (N, R) hidden layers before their activation and the (N,) sums around them.
 *
 * Returns 0, or -1 where there is no memory.
 */
int64_t hidden_of_variants(const Encoding *encoding, const KnownSummaries *known, int64_t n, const float *features,
                           const int64_t *stays, float *hidden, float *around) {
    const int64_t hours = encoding->hours, moving = encoding->moving, columns = encoding->columns;
    uint8_t *differs = malloc(moving + 1);
    if (!differs) return -1;
    for (int64_t i = 0; i < n; i++, features += hours * moving, hidden += encoding->units, around++) {
        const int64_t stay = stays[i];
        const float *old = known->moving + stay * hours * moving;
        memset(differs, 0, moving);
        for (int64_t hour = 0; hour < hours; hour++) {
            const float *one = features + hour * moving, *other = old + hour * moving;
            if (!memcmp(one, other, moving * sizeof(float))) continue;
            for (int64_t k = 0; k < moving; k++) differs[k] |= one[k] != other[k];
        }
        memcpy(hidden, known->hidden + stay * encoding->units, encoding->units * sizeof(float));
        *around = known->around[stay];
        for (int64_t column = 0; column < encoding->moving_columns; column++) {
            if (!differs[encoding->column_of[column]] || known->count[stay * columns + column] == 0.0f) continue;
            float summaries[SUMMARIES];
            summarise(encoding, known, stay, column, features + encoding->column_of[column], summaries);
            for (int64_t s = 0; s < SUMMARIES - 1; s++) {
                const int64_t at = s * columns + column;
                const float before = known->summaries[stay * SUMMARIES * columns + at], after = summaries[s];
                if (before == after || encoding->used[at] == 0.0f) continue;
                for (int64_t bin = 0; bin < BINS; bin++) {
                    const int64_t row = bin * SUMMARIES * columns + at;
                    const float low = encoding->low[row], width = encoding->width[row];
                    const float rise = kept_within((after - low) / width, 0.0f, 1.0f) -
                                       kept_within((before - low) / width, 0.0f, 1.0f);
                    add(encoding, row, encoding->scale * rise, hidden, around);
                }
                const float centre = encoding->centre[at], spread = encoding->spread[at], limit = encoding->score_limit;
                const float rise = kept_within((after - centre) / spread, -limit, limit) -
                                   kept_within((before - centre) / spread, -limit, limit);
                add(encoding, BINS * SUMMARIES * columns + at, encoding->score_scale * rise, hidden, around);
            }
        }
    }
    free(differs);
    return 0;
}
