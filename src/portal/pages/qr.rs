//! QR codes as the path of an SVG: data for a template, not markup.

use std::fmt::Write;

use fast_qr::{ECL, QRBuilder};

/// A QR code in modules, with the quiet zone that ISO/IEC 18004 asks for.
pub struct Picture {
    /// Width and height.
    pub side: usize,
    /// One stroke for every run of dark modules in a row.
    pub path: String,
}

/// Draws a text; none when it is longer than a QR code holds.
pub fn draw(text: &str) -> Option<Picture> {
    let code = QRBuilder::new(text).ecl(ECL::M).build().ok()?;
    let mut path = String::new();
    for (y, row) in code.data.chunks(code.size).take(code.size).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a.value() == b.value()) {
            if run.first().is_some_and(|module| module.value()) {
                // Writing into a string does not fail.
                let _ = write!(path, "M{} {}h{}v1h-{}z", x + QUIET, y + QUIET, run.len(), run.len());
            }
            x += run.len();
        }
    }
    Some(Picture { side: code.size + 2 * QUIET, path })
}

/// Light modules on every side.
const QUIET: usize = 4;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_code_has_its_quiet_zone_and_its_finder() {
        let picture = draw("otpauth://totp/x?secret=AAAA").unwrap();
        assert!(picture.side >= 21 + 8);
        assert!(picture.path.starts_with("M4 4h7v1h-7z"), "the first run is the top of the upper left finder pattern");
    }

    #[test]
    fn a_text_that_does_not_fit_is_not_drawn() {
        assert!(draw(&"x".repeat(5_000)).is_none());
    }
}
