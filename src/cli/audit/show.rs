//! Records for people: names put back where their key lives, nothing that commands a terminal, colour on a terminal alone.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::Output;
use crate::audit::pseudonym::KeyBook;
use crate::audit::tail::{Summary, Tone, summarise};

/// Prints records, one line each.
pub fn print<'a>(out: &mut impl Write, lines: impl Iterator<Item = &'a str>, keys: &KeyBook, output: Output) -> io::Result<()> {
    for line in lines {
        let revealed = keys.reveal(line).map(|record| record.to_string());
        let line = revealed.as_deref().unwrap_or(line);
        match output {
            // Records are plain JSON whose text is escaped; a line that somebody else put there might not be.
            Output::Json => writeln!(out, "{}", crate::audit::tail::tame(line))?,
            Output::Table => print_summary(out, &summarise(line))?,
        }
    }
    out.flush()
}

fn print_summary(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let dim = Style::new().dimmed();
    let tone = match summary.tone {
        Tone::Good => Style::new().fg_color(Some(AnsiColor::Green.into())),
        Tone::Notice => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
        Tone::Bad => Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
        Tone::Plain => Style::new().dimmed(),
    };
    writeln!(out, "{dim}{}{dim:#} {tone}{:<14}{tone:#} {}", summary.time, summary.word, summary.text)
}
