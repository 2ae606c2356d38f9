/* Order books of ITCH 5.0 in plain C, best bid and offer out: the peer of wire/itch50/*.py.
   The same means: one open-addressing table of orders, sorted levels with the best at their end,
   what the next messages need fetched ahead. Blocks of u16 length + message. It does less: no
   sessions, gaps, tickers or broken trades, and trades are only counted. */
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct { int64_t ref, rest, book, spare; } Order;
typedef struct { int64_t key, shares; } Level;
typedef struct { int64_t start, count, room; } Side;
typedef struct { int64_t known, stock; Side side[2]; double told[4]; int64_t spare[4]; } Book;

typedef struct {
    Order *orders; Book *books; Level *levels; int64_t *quotes;
    int64_t shift, slots, pool, pool_size, quote_count, capacity, trades, unknown;
} Market;

static inline uint16_t be16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return __builtin_bswap16(v); }
static inline uint32_t be32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
static inline uint64_t be64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return __builtin_bswap64(v); }

static inline int64_t home(uint64_t ref, int64_t shift) {
    return (int64_t)((ref * 0x9E3779B97F4A7C15ULL) >> shift);
}

static inline int64_t find(const Market *m, int64_t ref) {
    int64_t mask = m->slots - 1, slot = home((uint64_t)ref, m->shift);
    for (; m->orders[slot].rest; slot = (slot + 1) & mask)
        if (m->orders[slot].ref == ref) return slot;
    return -1 - slot;
}

static inline void drop(Market *m, int64_t slot) {
    int64_t mask = m->slots - 1, hole = slot, at = (slot + 1) & mask;
    for (; m->orders[at].rest; at = (at + 1) & mask) {
        int64_t first = home((uint64_t)m->orders[at].ref, m->shift);
        if (((at - first) & mask) >= ((at - hole) & mask)) {
            m->orders[hole] = m->orders[at];
            hole = at;
        }
    }
    m->orders[hole].rest = 0;
}

static inline int64_t key_of(int64_t price, int64_t side) { return (price - 2147483648LL) ^ -side; }
static inline int64_t price_of(int64_t key, int64_t side) { return (key ^ -side) + 2147483648LL; }

static inline int64_t level(const Level *levels, int64_t count, int64_t key) {
    int64_t at = count - 1, last = at > 12 ? at - 12 : 0;
    while (at >= last && (levels[at].key >> 32) > key) at--;
    if (at >= last || last == 0) return at;
    int64_t low = 0, high = at + 1;
    while (low < high) {
        int64_t middle = (low + high) >> 1;
        if ((levels[middle].key >> 32) > key) high = middle; else low = middle + 1;
    }
    return low - 1;
}

static void widen(Market *m, Side *s) {
    int64_t room = s->room ? 2 * s->room : 8;
    if (m->pool + room > m->pool_size) __builtin_trap();
    memcpy(m->levels + m->pool, m->levels + s->start, (size_t)s->count * sizeof(Level));
    s->start = m->pool;
    s->room = room;
    m->pool += room;
}

static inline int add(Market *m, Side *s, int64_t side, int64_t price, int64_t shares) {
    if (s->count == s->room) widen(m, s);
    Level *levels = m->levels + s->start;
    int64_t key = key_of(price, side), at = level(levels, s->count, key);
    if (at >= 0 && (levels[at].key >> 32) == key) {
        levels[at].key++;
        levels[at].shares += shares;
        return at == s->count - 1;
    }
    at++;
    for (int64_t i = s->count; i > at; i--) levels[i] = levels[i - 1];
    levels[at].key = (int64_t)((uint64_t)key << 32) | 1;
    levels[at].shares = shares;
    return at == s->count++;
}

static inline int take(Market *m, Side *s, int64_t side, int64_t price, int64_t shares, int gone) {
    Level *levels = m->levels + s->start;
    int64_t at = level(levels, s->count, key_of(price, side)), top = s->count - 1;
    levels[at].key -= gone;
    levels[at].shares -= shares;
    if (!(levels[at].key & 0xFFFFFFFF)) {
        for (int64_t i = at; i < top; i++) levels[i] = levels[i + 1];
        s->count--;
    }
    return at == top;
}

static inline void quote(Market *m, int64_t locate, int64_t side, int64_t ns, int64_t seq) {
    Book *b = m->books + locate;
    Side *s = b->side + side;
    double price = NAN, volume = NAN;
    if (s->count) {
        Level *best = m->levels + s->start + s->count - 1;
        price = (double)price_of(best->key >> 32, side) / 10000.0;
        volume = (double)best->shares;
    }
    double *told = b->told + 2 * side;
    if (!memcmp(told, &price, 8) && !memcmp(told + 1, &volume, 8)) return;
    told[0] = price;
    told[1] = volume;
    int64_t n = m->quote_count++, *q = m->quotes + n, width = m->capacity;
    q[0] = locate;
    q[width] = ns;
    q[2 * width] = seq;
    for (int i = 0; i < 4; i++) memcpy(q + (3 + i) * width, b->told + i, 8);
    q[7 * width] = q[8 * width] = 0;
}

/* Always inline: gcc takes a function that only prefetches for one that does nothing. */
#define INLINE static inline __attribute__((always_inline))
INLINE const uint8_t *fetch_far(const Market *m, const uint8_t *p, const uint8_t *end) {
    if (p + 29 > end) return end;
    const Book *b = m->books + be16(p + 3);
    __builtin_prefetch(b);
    __builtin_prefetch((const char *)b + 64);
    const Order *o = m->orders + home(be64(p + 13), m->shift);
    __builtin_prefetch(o);
    __builtin_prefetch(o + 1);
    if (p[2] == 'U') __builtin_prefetch(m->orders + home(be64(p + 21), m->shift));
    return p + 2 + be16(p);
}

INLINE const uint8_t *fetch_near(const Market *m, const uint8_t *p, const uint8_t *end) {
    if (p + 29 > end) return end;
    const Book *b = m->books + be16(p + 3);
    for (int side = 0; side < 2; side++) {
        const Level *best = m->levels + b->side[side].start + b->side[side].count - 1;
        __builtin_prefetch(best);
        __builtin_prefetch(best - 4);
    }
    return p + 2 + be16(p);
}

static inline void change(Market *m, const uint8_t *p, int64_t ns, int64_t seq) {
    int64_t locate = be16(p + 1), ref = (int64_t)be64(p + 11), slot = find(m, ref), taken;
    if (slot < 0) { m->unknown++; return; }
    Order o = m->orders[slot];
    int64_t side = o.book & 1, left = o.rest & 0xFFFFFFFF;
    if (o.book >> 1 != locate) return;
    taken = p[0] == 'D' || p[0] == 'U' ? left : be32(p + 19);
    if (taken == 0 || taken > left) return;
    if (p[0] == 'E' || (p[0] == 'C' && p[31] == 'Y')) m->trades++;
    if (taken == left) drop(m, slot);
    else m->orders[slot].rest -= taken;
    Side *s = m->books[locate].side + side;
    int best = take(m, s, side, (o.rest >> 32) & 0xFFFFFFFF, taken, taken == left);
    if (p[0] == 'U') {
        int64_t next = (int64_t)be64(p + 19), shares = be32(p + 27), price = be32(p + 31);
        slot = -1 - find(m, next);
        m->orders[slot] = (Order){next, price << 32 | shares, o.book, 0};
        best |= add(m, s, side, price, shares);
    }
    if (best) quote(m, locate, side, ns, seq);
}

int64_t book_itch(Market *m, const uint8_t *p, int64_t size, int64_t seq) {
    const uint8_t *end = p + size, *far = p, *near = p;
    int led = 0;
    m->quote_count = 0;
    for (; p < end; seq++) {
        for (; led < 24 && far < end; led++) {
            far = fetch_far(m, far, end);
            if (led >= 12) near = fetch_near(m, near, end);
        }
        const uint8_t *body = p + 2;
        int64_t ns = (int64_t)(be64(body + 3) & 0xFFFFFFFFFFFFULL);
        switch (body[0]) {
        case 'A': case 'F': {
            int64_t locate = be16(body + 1), side = body[19] == 'S', ref = (int64_t)be64(body + 11);
            int64_t shares = be32(body + 20), price = be32(body + 32), slot = find(m, ref);
            Book *b = m->books + locate;
            if (!b->known) {
                b->known = 1;
                memcpy(&b->stock, body + 24, 8);
                for (int i = 0; i < 4; i++) b->told[i] = NAN;
            }
            if (slot >= 0 || memcmp(&b->stock, body + 24, 8)) break;
            m->orders[-1 - slot] = (Order){ref, price << 32 | shares, locate << 1 | side, 0};
            if (add(m, b->side + side, side, price, shares)) quote(m, locate, side, ns, seq);
            break;
        }
        case 'E': case 'C': case 'X': case 'D': case 'U':
            change(m, body, ns, seq);
            break;
        case 'P':
            m->trades++;
        }
        led--;
        p = body + be16(p);
    }
    return m->quote_count;
}
