// What is said about an ejection fraction, on the page and in the summary alike.

import { words } from './words.js';

// Where reduced ends and normal begins, percent.
const BORDERS = [40, 50];

// True when an interval cannot separate reduced from normal.
export function crosses(interval) {
  return interval ? BORDERS.some((b) => interval.low < b && b < interval.high) : false;
}

// The sentence for an output that has a value.
export function sentence({ value, evidence }) {
  const { ef } = words;
  const views = [...new Set(evidence.segments.map((segment) => segment.view).filter(Boolean))];
  const said = views.length === 1 ? ef.only(views[0]) : ef.views(views);
  return ef.sentence({
    percent: Math.round(value.percent),
    range: range(value),
    views: views.length === 0 ? ef.noView : said,
  });
}

function range(value) {
  const { ef } = words;
  if (!value.interval) {
    return value.calibration === 'OUTSIDE' ? ef.outside : ef.noRange;
  }
  return ef.range(figures(value.interval));
}

// An interval in whole percent.
export function figures(interval) {
  return {
    coverage: Math.round(100 * interval.coverage),
    low: Math.round(interval.low),
    high: Math.round(interval.high),
  };
}

// Why there is no number, in words.
export function blankCause(output) {
  if (output.reason === 'UNCERTAIN') {
    return words.output.unsure;
  }
  return words.reason[output.reason] ?? words.output[output.status] ?? words.output.unknown;
}

// Heart rate and beats of a capture, or that they were not measured.
export function heart({ heart_rate_bpm: rate, beats }) {
  const { captured } = words;
  if (rate === undefined && beats === undefined) {
    return `${captured.heartRate}, ${captured.beats}: ${captured.notMeasured}`;
  }
  const perMinute = rate === undefined ? captured.notMeasured : captured.perMinute(Math.round(rate));
  return `${captured.heartRate} ${perMinute}, ${captured.beats} ${beats ?? captured.notMeasured}`;
}
