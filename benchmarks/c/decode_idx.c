/* The peer of wire/idx/decoder.py in C: the same messages, checks and numbering into the same blocks.

   The layout is fixed in the code, as one would write it by hand; all else is the same work: records and
   packets, sequence numbers, tickers through the same kind of hash table, boards, signs, watermarks.
   What does not happen in the measured stream (late messages, sessions that end) is only counted. */

#include <stdint.h>
#include <string.h>

typedef struct {
    int64_t *tape, *snapshot, *book, *levels, *index, *notes;
    int64_t tape_cap, snapshot_cap, book_cap, level_cap, index_cap, note_cap;
    int64_t *symbols; /* slots x 4: head, tail, id, unused */
    int64_t slots, known;
    int64_t next, watermark, mark_at, session; /* of the channel */
    int64_t tapes, snapshots, books, level_count, indexes, note_count;
    int64_t messages, duplicates, gaps, missing, refused, heartbeats;
    int64_t channel;
} idx;

enum { KIND, FORM, CHANNEL, START, END, TS_RECV, POSITION, FIRST_SEQ, COUNT };
enum { UNKNOWN_TYPE = 1, BAD_LENGTH, TOO_DEEP, BAD_TICKER, BAD_BOARD, BAD_PRICE, BAD_VOLUME,
       BAD_NUMBER, BAD_AGGRESSOR, BAD_STATE, BAD_SEQ, BAD_TS, STALE, LOST, TRUNCATED };
#define TS_MAX 4102444800000000000
#define SECOND 1000000000
#define RUN 128 /* messages before their levels become floats: they are in the cache still */

static inline int64_t be64(const uint8_t *p) {
    uint64_t x;
    memcpy(&x, p, 8);
    return (int64_t)__builtin_bswap64(x);
}

static inline int64_t be32(const uint8_t *p) {
    uint32_t x;
    memcpy(&x, p, 4);
    return (int64_t)__builtin_bswap32(x);
}

static inline int64_t be16(const uint8_t *p) { return (int64_t)p[0] << 8 | p[1]; }

static inline int64_t bits(double x) {
    int64_t y;
    memcpy(&y, &x, 8);
    return y;
}

static inline int64_t price(int64_t raw) {
    int64_t found = bits((double)raw / 10000.0); /* of the quotient it is asked whether it is 0: */
    return found ? found : 0x7ff8000000000000;   /* else gcc would not divide eight at a time */
}

static inline int64_t amount(int64_t raw) { return bits((double)raw); }

static int is_ticker(const uint8_t *p) {
    int size = 12;
    while (size && p[size - 1] == ' ') size--;
    for (int i = 0; i < size; i++) {
        int plain = (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9');
        if (!plain && (i == 0 || (p[i] != '.' && p[i] != '-'))) return 0;
    }
    return size > 0;
}

static void note(idx *d, int64_t what, int64_t record, int64_t at, int64_t size, int64_t symbol) {
    int64_t n = d->note_count++, cap = d->note_cap;
    d->notes[n] = what;
    d->notes[cap + n] = record;
    d->notes[2 * cap + n] = at;
    d->notes[3 * cap + n] = size;
    d->notes[4 * cap + n] = symbol;
}

static inline int64_t symbol_of(idx *d, const uint8_t *frames, int64_t record, int64_t at) {
    int64_t head = be64(frames + at), tail = be64(frames + at + 4);
    uint64_t mixed = ((uint64_t)head ^ (uint64_t)tail * 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;
    int64_t mask = d->slots - 1, slot = (int64_t)(mixed >> 40) & mask;
    int64_t *symbols = d->symbols;
    while (symbols[4 * slot + 2] >= 0 &&
           !(symbols[4 * slot] == head && symbols[4 * slot + 1] == tail))
        slot = (slot + 1) & mask;
    if (symbols[4 * slot + 2] >= 0) return symbols[4 * slot + 2];
    if (!is_ticker(frames + at)) return -1;
    symbols[4 * slot] = head;
    symbols[4 * slot + 1] = tail;
    symbols[4 * slot + 2] = d->known;
    note(d, 100, record, at, 12, d->known);
    return d->known++;
}

static inline int64_t board_of(const uint8_t *p) {
    switch (be16(p)) {
    case 'R' << 8 | 'G': return 0;
    case 'N' << 8 | 'G': return 1;
    case 'T' << 8 | 'N': return 2;
    }
    return -1;
}

static int fault(int64_t symbol, int64_t board, int64_t prices) {
    if (symbol < 0) return BAD_TICKER;
    if (board < 0) return BAD_BOARD;
    return prices < 0 ? BAD_PRICE : BAD_VOLUME;
}

static inline int trade(idx *d, const uint8_t *frames, int64_t at, const int64_t *where, int64_t seq,
                        int64_t ts) {
    const uint8_t *m = frames + at;
    int64_t n = d->tapes, cap = d->tape_cap, *row = d->tape + n;
    int64_t symbol = symbol_of(d, frames, where[0], at + 17), board = board_of(m + 29);
    int64_t trade_no = be64(m + 31), paid = be64(m + 39), volume = be64(m + 47);
    int64_t aggressor = m[55] == 'B' ? 0 : m[55] == 'S' ? 1 : m[55] == ' ' ? -1 : -2;
    int64_t priced = paid | (int64_t)((uint64_t)paid - 1);
    if ((symbol | board | priced | volume) < 0) return fault(symbol, board, priced);
    if (trade_no < 0) return BAD_NUMBER;
    if (aggressor == -2) return BAD_AGGRESSOR;
    row[0] = symbol;
    row[cap] = ts;
    row[2 * cap] = trade_no;
    row[3 * cap] = board;
    row[4 * cap] = price(paid);
    row[5 * cap] = amount(volume);
    row[6 * cap] = aggressor;
    row[7 * cap] = seq;
    row[8 * cap] = where[1] < 0 ? ts : where[1];
    row[9 * cap] = where[2];
    row[10 * cap] = 0;
    row[11 * cap] = d->channel;
    d->tapes = n + 1;
    return 0;
}

static inline int book(idx *d, const uint8_t *frames, int64_t at, const int64_t *where, int64_t seq,
                       int64_t ts) {
    const uint8_t *m = frames + at, *level = m + 32;
    int64_t n = d->books, cap = d->book_cap, *row = d->book + n;
    int64_t symbol = symbol_of(d, frames, where[0], at + 17), board = board_of(m + 29), depth = m[31];
    int64_t *restrict prices = d->levels + d->level_count;
    int64_t *restrict volumes = prices + d->level_cap;
    int64_t *restrict orders = volumes + d->level_cap;
    int64_t any_price = 0, any_volume = 0;
    for (int64_t i = 0; i < depth; i++, level += 20) {
        int64_t paid = be64(level), volume = be64(level + 8);
        prices[i] = paid;
        volumes[i] = volume;
        orders[i] = be32(level + 16);
        any_price |= paid;
        any_volume |= volume;
    }
    if ((symbol | board | any_price | any_volume) < 0) return fault(symbol, board, any_price);
    row[0] = symbol;
    row[cap] = board;
    row[2 * cap] = ts;
    row[3 * cap] = m[0] == '3' ? 0 : 1;
    row[4 * cap] = depth;
    row[5 * cap] = seq;
    row[6 * cap] = where[1] < 0 ? ts : where[1];
    row[7 * cap] = where[2];
    d->books = n + 1;
    d->level_count += depth;
    return 0;
}

static int snapshot(idx *d, const uint8_t *frames, int64_t at, const int64_t *where, int64_t ts) {
    static const int priced[] = {31, 39, 47, 55, 63, 91, 107};
    static const int priced_row[] = {3, 4, 5, 6, 7, 11, 13};
    static const int counted[] = {71, 79, 99, 115};
    static const int counted_row[] = {8, 9, 12, 14};
    const uint8_t *m = frames + at;
    int64_t cap = d->snapshot_cap, *row = d->snapshot + d->snapshots, prices = 0, volumes = 0;
    int64_t symbol = symbol_of(d, frames, where[0], at + 17), board = board_of(m + 29);
    for (int i = 0; i < 7; i++) {
        int64_t raw = be64(m + priced[i]);
        row[priced_row[i] * cap] = price(raw);
        prices |= raw;
    }
    for (int i = 0; i < 4; i++) {
        int64_t raw = be64(m + counted[i]);
        row[counted_row[i] * cap] = amount(raw);
        volumes |= raw;
    }
    if ((symbol | board | prices | volumes) < 0) return fault(symbol, board, prices);
    row[0] = symbol;
    row[cap] = board;
    row[2 * cap] = ts;
    row[10 * cap] = be32(m + 87);
    row[15 * cap] = where[1] < 0 ? ts : where[1];
    row[16 * cap] = where[2];
    d->snapshots++;
    return 0;
}

static int index_row(idx *d, const uint8_t *frames, int64_t at, const int64_t *where, int64_t ts) {
    const uint8_t *m = frames + at;
    int64_t cap = d->index_cap, *row = d->index + d->indexes;
    int64_t symbol = symbol_of(d, frames, where[0], at + 17);
    int64_t value = be64(m + 29), prev = be64(m + 37), traded = be64(m + 45);
    if ((symbol | value | prev | traded) < 0) return fault(symbol, 0, value | prev);
    row[0] = symbol;
    row[cap] = ts;
    row[2 * cap] = bits((double)value / 10000.0);
    row[3 * cap] = price(prev);
    row[4 * cap] = amount(traded);
    row[5 * cap] = where[1] < 0 ? ts : where[1];
    row[6 * cap] = where[2];
    d->indexes++;
    return 0;
}

static int misfit(const uint8_t *m, int64_t size) {
    if (size <= 0) return BAD_LENGTH;
    switch (m[0]) {
    case '1': return size == 56 ? 0 : BAD_LENGTH;
    case '2': return size == 123 ? 0 : BAD_LENGTH;
    case '3':
    case '4':
        if (size < 32) return BAD_LENGTH;
        if (m[31] > 10) return TOO_DEEP;
        return size == 32 + 20 * (int64_t)m[31] ? 0 : BAD_LENGTH;
    case '5': return size == 53 ? 0 : BAD_LENGTH;
    case '6': return size == 118 ? 0 : BAD_LENGTH;
    case '9': return size == 26 ? 0 : BAD_LENGTH;
    }
    return UNKNOWN_TYPE;
}

static void message(idx *d, const uint8_t *frames, int64_t at, int64_t size, const int64_t *where) {
    const uint8_t *m = frames + at;
    d->messages++;
    int reason = misfit(m, size);
    int64_t seq = 0, ts = 0;
    if (!reason) {
        seq = be64(m + 1);
        ts = be64(m + 9);
        if (seq < 1) reason = BAD_SEQ;
        else if (ts < 0 || ts > TS_MAX) reason = BAD_TS;
        else if (seq < d->next) {
            d->duplicates++;
            return;
        }
    }
    if (!reason) switch (m[0]) {
        case '1': reason = trade(d, frames, at, where, seq, ts); break;
        case '2': reason = snapshot(d, frames, at, where, ts); break;
        case '3':
        case '4': reason = book(d, frames, at, where, seq, ts); break;
        case '5': reason = index_row(d, frames, at, where, ts); break;
        case '6': note(d, 101, where[0], at, size, symbol_of(d, frames, where[0], at + 17)); break;
        default: d->heartbeats++;
        }
    if (reason) {
        note(d, reason, where[0], at, size, 0);
        d->refused++;
        return;
    }
    if (seq != d->next) {
        d->gaps++;
        d->missing += seq - d->next;
    }
    d->next = seq + 1;
    if (ts > d->watermark) d->watermark = ts;
    if (ts >= d->mark_at) {
        d->mark_at = (ts / SECOND + 1) * SECOND;
        if (m[0] != '1') {
            int64_t n = d->tapes++;
            for (int i = 0; i < 12; i++) d->tape[i * d->tape_cap + n] = -1;
            d->tape[d->tape_cap + n] = ts;
            d->tape[10 * d->tape_cap + n] = 1;
        }
    }
}

/* Prices and volumes of levels [start, end), integers until now, as floats: eight at a time. */
static void levels_to_floats(idx *d, int64_t start, int64_t end) {
    int64_t *restrict prices = d->levels, *restrict volumes = d->levels + d->level_cap;
    for (int64_t i = start; i < end; i++) prices[i] = price(prices[i]);
    for (int64_t i = start; i < end; i++) volumes[i] = amount(volumes[i]);
}

/* The filled parts of the blocks are counted in `d`; 1 when the chunk is done. */
int64_t decode_idx(idx *d, const uint8_t *frames, const int64_t *spans, int64_t records) {
    d->tapes = d->snapshots = d->books = d->level_count = d->indexes = d->note_count = 0;
    for (int64_t record = 0; record < records; record++) {
        int64_t at = spans[START * records + record], end = spans[END * records + record];
        int64_t where[3] = {record, spans[TS_RECV * records + record],
                            spans[POSITION * records + record]};
        int64_t soup = spans[FORM * records + record] == 1;
        d->channel = spans[CHANNEL * records + record];
        int64_t level = d->level_count, run = RUN;
        while (at < end) {
            if (--run == 0) {
                levels_to_floats(d, level, d->level_count);
                level = d->level_count;
                run = RUN;
            }
            if (d->tapes + 2 > d->tape_cap || d->snapshots == d->snapshot_cap ||
                d->books == d->book_cap || d->level_count + 10 > d->level_cap ||
                d->indexes == d->index_cap || d->note_count + 2 > d->note_cap ||
                4 * d->known > 3 * d->slots)
                return 0;
            int64_t size = at + 2 <= end ? be16(frames + at) : -1;
            if (size <= 0 || size > 1024 + soup || at + 2 + size > end) {
                note(d, size == 0 || size > 1024 + soup ? LOST : TRUNCATED, record, at, end - at, 0);
                break;
            }
            if (!soup || frames[at + 2] == 'S') message(d, frames, at + 2 + soup, size - soup, where);
            at += 2 + size;
        }
        levels_to_floats(d, level, d->level_count);
    }
    return 1;
}
