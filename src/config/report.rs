//! What is wrong with a configuration, and how it is mended: all of it, in the order of files and lines.

use std::cmp::Ordering;
use std::fmt;
use std::path::Path;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::source::Place;

/// Problems of a configuration, in the order of files and lines.
#[derive(Debug, Default)]
pub struct Report {
    problems: Vec<Problem>,
}

/// One mistake, or one thing to think about.
#[derive(Clone, Debug)]
pub struct Problem {
    pub severity: Severity,
    pub place: Place,
    /// The key, with the tables it stands in: `listener.bind`. Empty when the file as a whole is meant.
    pub key: String,
    pub message: String,
    /// What to write instead.
    pub mend: String,
    /// Grounds, such as how each rule stood to a test's request.
    pub notes: Vec<String>,
    /// The other place, where two places contradict each other.
    pub other: Option<(Place, &'static str)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// There is no configuration with this in it.
    Error,
    /// The configuration is taken as it stands.
    Warning,
}

/// Whether a report is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Plain,
    Ansi,
}

impl Problem {
    #[must_use]
    pub fn file(&self) -> &Path {
        self.place.source().path()
    }

    #[must_use]
    pub fn line(&self) -> usize {
        self.place.line()
    }

    #[must_use]
    pub fn column(&self) -> usize {
        self.place.column()
    }

    fn order(&self, other: &Self) -> Ordering {
        let rank = |problem: &Self| (problem.file().to_owned(), problem.place.span().start, problem.severity);
        rank(self).cmp(&rank(other)).then_with(|| self.message.cmp(&other.message))
    }

    /// The problem with the text it is about, underlined.
    #[must_use]
    pub fn render(&self, colour: Colour) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level.primary_title(printable(&self.message)).element(snippet(&self.place, AnnotationKind::Primary, ""));
        if let Some((place, label)) = &self.other {
            group = group.element(snippet(place, AnnotationKind::Context, label));
        }
        for note in &self.notes {
            group = group.element(Level::NOTE.message(printable(note)));
        }
        if !self.mend.is_empty() {
            group = group.element(Level::HELP.message(printable(&self.mend)));
        }
        renderer(colour).render(&[group])
    }
}

fn snippet<'a>(place: &'a Place, kind: AnnotationKind, label: &'a str) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let annotation = kind.span(place.span());
    let annotation = if label.is_empty() { annotation } else { annotation.label(label) };
    Snippet::source(place.source().text()).path(place.source().path().to_string_lossy().into_owned()).annotation(annotation)
}

fn renderer(colour: Colour) -> Renderer {
    match colour {
        Colour::Plain => Renderer::plain().decor_style(DecorStyle::Ascii),
        Colour::Ansi => Renderer::styled().decor_style(DecorStyle::Ascii),
    }
}

/// A message quotes what stands in a file; a control character in it must not drive the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() && character != '\n' { '\u{fffd}' } else { character }).collect()
}

impl Report {
    #[must_use]
    pub fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(Problem::order);
        // A table that is looked at twice complains twice.
        problems.dedup_by(|one, other| one.order(other) == Ordering::Equal);
        Self { problems }
    }

    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }

    /// The errors, one a line and the first few alone: for a record, which is no place for a whole report.
    #[must_use]
    pub fn summary(&self) -> String {
        let errors: Vec<_> = self.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        let line = |problem: &&Problem| {
            let message = printable(problem.message.lines().next().unwrap_or_default());
            let short: String = message.chars().take(MESSAGE_CHARACTERS_MAX).collect();
            format!("{}:{}:{}: {short}", problem.file().display(), problem.line(), problem.column())
        };
        let mut lines: Vec<_> = errors.iter().take(SUMMARY_LINES_MAX).map(line).collect();
        if let Some(more) = errors.len().checked_sub(SUMMARY_LINES_MAX).filter(|more| *more > 0) {
            lines.push(format!("and {more} more"));
        }
        lines.join("\n")
    }

    /// Every problem, underlined, with its mend.
    #[must_use]
    pub fn render(&self, colour: Colour) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            text.push_str(&problem.render(colour));
            text.push_str("\n\n");
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Plain))
    }
}

impl std::error::Error for Report {}

/// Errors that a summary lists.
const SUMMARY_LINES_MAX: usize = 10;

/// How much of each message it quotes.
const MESSAGE_CHARACTERS_MAX: usize = 200;
