/* Looks at each byte of some lines of a CSV file once; see by_arrays.py, which does the same with numpy.

   Marks (commas, line breaks, quotes) are found 64 bytes at a time as the bits of a number, and only marks are visited.
   Nothing here depends on the version of Python: the function is called through ctypes. */

#include <stdint.h>
#include <string.h>

#define WIDTH 64
#define EACH(byte) (0x0101010101010101ULL * (byte))

#if defined(__SSE2__) && !defined(PORTABLE)
#include <emmintrin.h>
static inline uint64_t places_of(const uint8_t *text, char mark)
{
    const __m128i wanted = _mm_set1_epi8(mark);
    uint64_t places = 0;
    for (int part = 0; part < 4; part++) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(text + 16 * part));
        places |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, wanted)) << (16 * part);
    }
    return places;
}
#else
static inline uint64_t places_of(const uint8_t *text, char mark)
{
    uint64_t places = 0;
    for (int part = 0; part < 8; part++) {
        uint64_t bytes;
        memcpy(&bytes, text + 8 * part, 8);
        bytes ^= EACH((uint8_t)mark);
        /* The highest bit of each byte that is zero now, then one bit a byte side by side. */
        const uint64_t low = EACH(0x7F), zero = ~(((bytes & low) + low) | bytes | low);
        places |= (((zero >> 7) * 0x0102040810204080ULL) >> 56) << (8 * part);
    }
    return places;
}
#endif

/* Whether a line may be of a wanted item: its item is one, or is no plain number of up to eight digits. */
static inline int may_be_wanted(const uint8_t *item, int64_t width, const uint64_t *items, uint64_t factor, int shift)
{
    if (width > 8)
        return 1;
    uint64_t written = 0;
    for (int64_t digit = 0; digit < width; digit++)
        written |= (uint64_t)item[digit] << (8 * digit);
    const uint64_t inside = width == 8 ? ~0ULL : (1ULL << (8 * width)) - 1;
    const uint64_t digits = written | (EACH('0') & ~inside);
    const int is_plain = ((digits | (digits + EACH(6))) & EACH(0xF0)) == EACH('0') && (written & 0xFF) != '0';
    return !is_plain || items[(written * factor) >> shift] == written;
}

/* Copies the lines that may be of a wanted item to `kept` and their length in bytes to `kept_bytes`.

   text: `size` bytes of whole lines; the last byte is a line break.
   column: position of the item's column; negative where no line is to be kept.
   items, factor, shift: wanted.py.
   kept: room for `size` bytes.

   Returns the number of lines; -1 if one does not have `n_fields` fields or its quotes do not match. */
int64_t look_at_lines(const uint8_t *text, int64_t size, int64_t n_fields, int64_t column, const uint64_t *items,
                      uint64_t factor, int shift, uint8_t *kept, int64_t *kept_bytes)
{
    int64_t rows = 0, filled = 0, line = 0, commas = 0, item = 0, item_end = 0;
    int is_quoted = 0;
    for (int64_t base = 0; base < size; base += WIDTH) {
        uint8_t padded[WIDTH] = {0};
        const uint8_t *piece = text + base;
        if (size - base < WIDTH)
            piece = memcpy(padded, piece, (size_t)(size - base));
        uint64_t marks = places_of(piece, ',') | places_of(piece, '\n') | places_of(piece, '"');
        for (; marks; marks &= marks - 1) {
            const int64_t place = base + __builtin_ctzll(marks);
            const uint8_t mark = text[place];
            if (mark == '"') {
                /* A quote opens after a mark and closes before one; where it is doubled, it closes and opens again. */
                const uint8_t beside = is_quoted ? text[place + 1] : place ? text[place - 1] : '\n';
                const int ends_line = is_quoted && beside == '\r' && text[place + 2] == '\n';
                if (beside != ',' && beside != '\n' && beside != '"' && !ends_line)
                    return -1;
                is_quoted = !is_quoted;
            } else if (is_quoted) {
                if (mark == '\n')
                    return -1;
            } else if (mark == ',') {
                if (commas == column)
                    item_end = place;
                commas++;
                if (commas == column)
                    item = place + 1;
            } else {
                if (commas != n_fields - 1)
                    return -1;
                if (commas == column)
                    item_end = place;
                if (column >= 0 && may_be_wanted(text + item, item_end - item, items, factor, shift)) {
                    memcpy(kept + filled, text + line, (size_t)(place + 1 - line));
                    filled += place + 1 - line;
                }
                rows++;
                line = place + 1;
                commas = 0;
                if (column == 0)
                    item = line;
            }
        }
    }
    *kept_bytes = filled;
    return rows;
}
