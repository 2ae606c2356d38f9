/* The bar builder in C: the same slots, pages, rounding, watermark, closes and revisions as
   src/bursa/bars/kernel.py, on the same tape and into the same blocks. Rules that the benchmark's
   tape never meets (files' ends, sessions' ends, channels that go down) are left out. */
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef int64_t i64;

#define MINUTE 60000000000LL
#define SECOND 1000000000LL
#define NEVER (-(1LL << 62))
#define UNITS_MAX 4611686018427387904.0

enum { TICKER, TS, TRADE_NO, BOARD, PRICE, VOLUME, AGGRESSOR, SEQ, RECV, POSITION, ROLE, CHANNEL };

typedef struct {
    i64 trades;
    double open, high, low, close;
    i64 volume, value, delta, ruled, last_ts, last_seq, last_recv, first_ts, first_seq, rev, emitted;
} slot;

typedef struct {
    double price; /* NAN: none yet */
    i64 sign;
} known; /* what the tick rule knows of a symbol */

typedef struct {
    i64 start, from, to; /* from, to: the symbols that wait for a revision */
} page;

typedef struct {
    i64 watermark, closed, forgotten, due, dirty, nth, rows, minutes;
    i64 next[2]; /* a channel each */
} levels;

typedef struct {
    i64 board, close_ns, forget_ns, symbols, pages, capacity;
    double volume_units, value_units;
} rules;

static void write_row(i64 *out, i64 row, const rules *r, const slot *s, i64 symbol, i64 start,
                      i64 known_at, i64 position, i64 nth) {
    const i64 n = r->capacity;
    double *f = (double *)out;
    double volume = s->volume / r->volume_units, value = s->value / r->value_units;
    out[row] = symbol;
    out[n + row] = 0;
    out[2 * n + row] = start;
    out[3 * n + row] = s->rev - 1;
    f[4 * n + row] = s->open;
    f[5 * n + row] = s->high;
    f[6 * n + row] = s->low;
    f[7 * n + row] = s->close;
    f[8 * n + row] = volume;
    f[9 * n + row] = value;
    out[10 * n + row] = s->trades;
    f[11 * n + row] = volume > 0 ? value / volume : NAN;
    f[12 * n + row] = s->delta / r->volume_units;
    f[13 * n + row] = s->ruled / r->volume_units;
    f[14 * n + row] = f[15 * n + row] = NAN;
    out[16 * n + row] = 1;
    out[17 * n + row] = known_at;
    out[18 * n + row] = s->last_recv;
    out[19 * n + row] = position;
    out[20 * n + row] = nth;
}

static void emit_page(slot *slots, page *pages, i64 at, int changed, i64 known_at, i64 position,
                      i64 reached, const rules *r, levels *l, i64 *out) {
    i64 from = changed ? pages[at].from : 0, to = changed ? pages[at].to : r->symbols;
    slot *s = slots + at * r->symbols + from;
    if (reached / SECOND << 30 > l->nth) l->nth = reached / SECOND << 30;
    for (i64 symbol = from; symbol < to; symbol++, s++) {
        if (s->trades == 0 || (changed && s->trades == s->emitted)) continue;
        s->rev++;
        s->emitted = s->trades;
        write_row(out, l->rows++, r, s, symbol, pages[at].start, known_at, position, l->nth++);
    }
    pages[at].from = 1LL << 62;
    pages[at].to = 0;
}

static i64 next_page(const page *pages, i64 count, i64 after) {
    i64 found = -1;
    for (i64 at = 0; at < count; at++)
        if (pages[at].start > after && (found < 0 || pages[at].start < pages[found].start)) found = at;
    return found;
}

static i64 due_of(i64 start, const rules *r, const levels *l) {
    return start + (start <= l->closed ? r->forget_ns : r->close_ns);
}

static __attribute__((noinline)) int advance(const i64 *tape, i64 n, i64 row, slot *slots, page *pages, const rules *r,
                   levels *l, i64 *out, i64 *minutes) {
    i64 ts = tape[TS * n + row], watermark = ts - ts % SECOND;
    l->next[tape[CHANNEL * n + row]] = watermark + SECOND;
    i64 through = watermark - r->close_ns;
    int done = 0;
    if (l->dirty > 0 || watermark >= l->due) {
        i64 known_at = tape[RECV * n + row], position = tape[POSITION * n + row];
        if (l->dirty > 0)
            for (i64 at = next_page(pages, r->pages, NEVER); at >= 0 && pages[at].start <= l->closed;
                 at = next_page(pages, r->pages, pages[at].start))
                if (pages[at].to > 0)
                    emit_page(slots, pages, at, 1, known_at, position, watermark, r, l, out);
        l->dirty = 0;
        for (i64 at = next_page(pages, r->pages, l->closed); at >= 0 && pages[at].start <= through;
             at = next_page(pages, r->pages, pages[at].start)) {
            emit_page(slots, pages, at, 0, known_at, position, watermark, r, l, out);
            i64 *marker = minutes + l->minutes++;
            marker[0] = pages[at].start;
            marker[r->capacity] = l->rows;
            marker[2 * r->capacity] = known_at;
            marker[3 * r->capacity] = position;
        }
        l->closed = through;
        l->due = 1LL << 62;
        for (i64 at = 0; at < r->pages; at++) {
            if (pages[at].start == NEVER) continue;
            if (pages[at].start <= watermark - r->forget_ns) {
                pages[at].start = NEVER;
                memset(slots + at * r->symbols, 0, r->symbols * sizeof(slot));
            } else {
                i64 due = due_of(pages[at].start, r, l);
                if (due < l->due) l->due = due;
            }
        }
        done = 1;
    }
    l->watermark = watermark;
    l->closed = through;
    l->forgotten = watermark - r->forget_ns;
    return done;
}

static __attribute__((noinline)) i64 seek(i64 opened, page *pages, const rules *r, levels *l) {
    i64 free = -1;
    if (opened <= l->forgotten) return -1;
    for (i64 at = 0; at < r->pages; at++) {
        if (pages[at].start == opened) return at;
        if (pages[at].start == NEVER) free = at;
    }
    pages[free].start = opened;
    pages[free].from = 1LL << 62;
    pages[free].to = 0;
    i64 due = due_of(opened, r, l);
    if (due < l->due) l->due = due;
    return free;
}

static int before(i64 ts, i64 seq, i64 other_ts, i64 other_seq) {
    return ts < other_ts || (ts == other_ts && seq < other_seq);
}

/* Take a tape of n rows; rows and markers go behind those already in out and minutes. */
void build(const i64 *tape, i64 n, const rules *r, slot *slots, page *pages, levels *l,
           known *lasts, uint8_t *touched, i64 *out, i64 *minutes) {
    const double *prices = (const double *)(tape + PRICE * n);
    const double *volumes = (const double *)(tape + VOLUME * n);
    i64 opened = NEVER, at = -1;
    int late = 0;
    for (i64 row = 0; row < n; row++) {
        i64 ts = tape[TS * n + row];
        if (ts >= l->next[tape[CHANNEL * n + row]] &&
            advance(tape, n, row, slots, pages, r, l, out, minutes))
            opened = NEVER;
        if (tape[ROLE * n + row] != 0 || tape[BOARD * n + row] != r->board) continue;
        if (!(ts >= opened && ts < opened + MINUTE)) {
            opened = ts - ts % MINUTE;
            at = seek(opened, pages, r, l);
            late = opened <= l->closed;
        }
        if (at < 0) {
            opened = NEVER;
            continue;
        }
        i64 symbol = tape[TICKER * n + row], seq = tape[SEQ * n + row];
        double price = prices[row];
        double volume = rint(volumes[row] * r->volume_units);
        double value = rint(price * volumes[row] * r->value_units);
        slot *s = slots + at * r->symbols + symbol;
        if (!(volume >= 0 && volume < UNITS_MAX && value >= 0 && value < UNITS_MAX)) continue;
        if ((double)(s->volume | s->value) >= UNITS_MAX) continue;
        if (late) {
            if (s->trades == s->emitted) {
                if (symbol < pages[at].from) pages[at].from = symbol;
                if (symbol >= pages[at].to) pages[at].to = symbol + 1;
                l->dirty++;
            }
        } else {
            touched[symbol] = 1;
        }
        known *last = lasts + symbol;
        i64 aggressor = tape[AGGRESSOR * n + row], sign = last->sign;
        if (aggressor >= 0)
            sign = 1 - 2 * aggressor;
        else if (price > last->price)
            sign = 1;
        else if (price < last->price)
            sign = -1;
        last->price = price;
        last->sign = sign;
        s->delta += sign * (i64)volume;
        if (aggressor < 0 && sign != 0) s->ruled += (i64)volume;
        s->volume += (i64)volume;
        s->value += (i64)value;
        if (s->trades++ == 0) {
            s->open = s->high = s->low = s->close = price;
            s->first_ts = s->last_ts = ts;
            s->first_seq = s->last_seq = seq;
            s->last_recv = tape[RECV * n + row];
            continue;
        }
        s->high = price > s->high ? price : s->high;
        s->low = price < s->low ? price : s->low;
        if (!before(ts, seq, s->last_ts, s->last_seq)) {
            s->close = price;
            s->last_ts = ts;
            s->last_seq = seq;
            s->last_recv = tape[RECV * n + row];
        } else if (before(ts, seq, s->first_ts, s->first_seq)) {
            s->open = price;
            s->first_ts = ts;
            s->first_seq = seq;
        }
    }
}
