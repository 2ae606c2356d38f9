/* Finding things in the docs: the ranking of web/docs/search.py, over the same entries. */

const SAME = 200, WHOLE = 100, BEGINS = 60, WORD = 40, PART = 25, ABOVE = 10, TEXT_WORD = 5, TEXT = 2, PAGE = 15, SECTION = 8;
const TERMS_MAX = 8, AROUND = 60;
const isWord = /[\p{L}\p{N}]/u;

export const termsOf = (query) => [...new Set(query.slice(0, 100).toLowerCase().split(/\s+/).filter(Boolean))].slice(0, TERMS_MAX);

function beginsWord(text, term) {
  let at = text.indexOf(term);
  while (at > 0 && isWord.test(text[at - 1])) at = text.indexOf(term, at + 1);
  return at >= 0;
}

function inTitle(title, term) {
  if (title === term) return WHOLE;
  if (title.startsWith(term)) return BEGINS;
  if (beginsWord(title, term)) return WORD;
  return title.includes(term) ? PART : 0;
}

/* An entry of the index, made ready: lower-case texts, and what its rank gets for being a page or a section. */
export function ready(entry) {
  return { ...entry, low: { title: entry.title.toLowerCase(), above: entry.trail.join(" ").toLowerCase(), text: entry.text.toLowerCase() }, rank: entry.row ? 0 : entry.at.includes("#") ? SECTION : PAGE };
}

function score({ low, rank }, terms, whole) {
  let total = 0;
  for (const term of terms) {
    let found = inTitle(low.title, term) || (low.above.includes(term) ? ABOVE : 0);
    if (!found && low.text.includes(term)) found = beginsWord(low.text, term) ? TEXT_WORD : TEXT;
    if (!found) return 0;
    total += found;
  }
  return total + (low.title === whole ? SAME : 0) + rank;
}

/** The entries that hold every word, the best first; equal ones in the order given. */
export function find(entries, query, limit) {
  const terms = termsOf(query);
  if (!terms.length) return [];
  const whole = query.toLowerCase().split(/\s+/).filter(Boolean).join(" ");
  const scored = entries.map((entry) => ({ entry, points: score(entry, terms, whole) })).filter(({ points }) => points > 0);
  return scored.sort((a, b) => b.points - a.points).slice(0, limit).map(({ entry }) => entry);
}

/** A text as nodes, the words of the query marked. */
export function marked(text, terms) {
  const pattern = [...terms].sort((a, b) => b.length - a.length).map((term) => term.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
  return text.split(new RegExp(`(${pattern})`, "iu")).map((part, at) => {
    if (at % 2 === 0) return part;
    const mark = document.createElement("mark");
    mark.textContent = part;
    return mark;
  });
}

/** The text around the first word that was asked for. */
export function snippet({ text, low }, terms) {
  const found = terms.map((term) => low.text.indexOf(term)).filter((at) => at >= 0);
  const first = found.length ? Math.min(...found) : 0;
  let start = Math.max(first - AROUND, 0);
  while (start > 0 && start < first && text[start - 1] !== " ") start += 1;
  return (start ? "… " : "") + text.slice(start, first + 2 * AROUND);
}
