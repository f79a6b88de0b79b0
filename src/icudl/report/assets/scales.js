const VIRIDIS = [
  "440154", "481a6c", "472f7d", "414487", "39568c", "31688e", "2a788e", "23888e",
  "1f988b", "22a884", "35b779", "54c568", "7ad151", "a5db36", "d2e21b", "fde725",
].map((code) => [0, 2, 4].map((at) => parseInt(code.slice(at, at + 2), 16)));

function viridis(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const at = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const parts = VIRIDIS[at].map((from, band) => Math.round(from + (place - at) * (VIRIDIS[at + 1][band] - from)));
  return `rgb(${parts.join(",")})`;
}

function linearTicks(low, high, wanted, whole = false) {
  const span = high - low || 1;
  const raw = Math.max(span / Math.max(1, wanted), whole ? 1 : 0);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = (whole ? [1, 2, 5, 10] : [1, 2, 2.5, 5, 10]).map((factor) => factor * power).find((size) => size >= raw - 1e-12);
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) ticks.push(Number((at * step).toPrecision(12)));
  return ticks;
}

function logTicks(low, high, wanted) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const factor of [1, 2, 5]) ticks.push(factor * 10 ** power);
  }
  const inside = ticks.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  const tens = inside.filter((value) => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9);
  return inside.length <= wanted + 1 || tens.length < 2 ? inside.slice(0, 12) : tens;
}

function makeScale(axis, domain, from, to) {
  const log = Boolean(axis.log);
  const warp = log ? Math.log10 : (value) => value;
  const [low, high] = domain.map(warp);
  const span = high - low || 1;
  const scale = (value) => from + ((warp(value) - low) / span) * (to - from);
  scale.invert = (pixel) => {
    const value = low + ((pixel - from) / (to - from)) * span;
    return log ? 10 ** value : value;
  };
  scale.ticks = (wanted) => (axis.words ? axis.words.map((_, place) => place) : log ? logTicks(domain[0], domain[1], wanted) : linearTicks(domain[0], domain[1], wanted, axis.whole));
  return scale;
}

/* Limits of an axis: declared ones win, the rest follow the data with a little air. */
function domainOf(axis, values) {
  const usable = values.filter((value) => value !== null && Number.isFinite(value) && (!axis.log || value > 0));
  let low = axis.min ?? (usable.length ? Math.min(...usable) : 0);
  let high = axis.max ?? (usable.length ? Math.max(...usable) : 1);
  if (low === high) {
    high = low + (low === 0 ? 1 : Math.abs(low) * 0.1);
    if (axis.min === undefined && !axis.log) low -= high - low;
  } else if (axis.log) {
    if (axis.min === undefined) low /= 1.15;
    if (axis.max === undefined) high *= 1.15;
  } else {
    const air = 0.04 * (high - low);
    if (axis.min === undefined) low -= air;
    if (axis.max === undefined) high += air;
  }
  return [low, high];
}
