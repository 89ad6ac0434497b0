// The rules of models/default.yaml in simple form: points by type of event, fit by profile, bounds, grades.

const POINTS = { page_view: 5, email_open: 10, form_submission: 20, demo_request: 50, purchase: 100 };
const ENGAGEMENT_MAX = 1000;
const SCORE_MAX = 1000;

// What an event makes of a lead: `lead` is its row, undefined for a new one.
export function scored(lead, event) {
  const engagement = Math.min((lead?.engagement ?? 0) + (POINTS[event.type] ?? 0), ENGAGEMENT_MAX);
  const fit = lead?.fit ?? 0;
  const score = Math.min(engagement + fit, SCORE_MAX);
  return { engagement, fit, score, grade: grade(fit, engagement) };
}

function grade(fit, engagement) {
  const letter = fit >= 75 ? 'A' : fit >= 50 ? 'B' : fit >= 25 ? 'C' : 'D';
  return letter + (engagement >= 200 ? '1' : engagement >= 50 ? '2' : '3');
}
