//! `ferryctl doctor` for people: a line a finding, and below it how to mend what is wrong.

use super::clean;
use super::palette::{Ink, Palette};
use crate::ctl::views::{CheckView, Verdict};

pub(super) fn text(view: &CheckView, palette: Palette) -> String {
    let (ink, verdict) = match view.verdict {
        Verdict::Ok => (Ink::Good, "ok"),
        Verdict::Warning => (Ink::Doubtful, "warning"),
        Verdict::Problem => (Ink::Bad, "problem"),
        Verdict::Unknown => (Ink::Faint, "unknown"),
    };
    let verdict = palette.paint(ink, &format!("{verdict:<7}"));
    let mend = view.mend.as_ref().map(|mend| format!("{:21}mend: {}\n", "", clean(mend)));
    format!("{verdict}  {:<11} {}\n{}", view.check, clean(&view.words), mend.unwrap_or_default())
}
