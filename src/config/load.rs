//! From a folder to a configuration, or to the list of everything that is wrong with it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use kernel::route::RouteTable;
use toml::de::DeTable;

use super::files::{self, FileFault, Readers};
use super::read_main::{self, Main};
use super::read_route::{self, Draft};
use super::reader::{Desk, Findings, Table};
use super::report::{Problem, Report, Severity};
use super::sections::Config;
use super::seen::Seen;
use super::source::{Place, Source};
use super::syntax;
use super::{agree, compile, keys, lint};

/// A configuration that was found good, and everything that follows from it.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub table: RouteTable,
    /// Names this version in records: SHA-256 over names and texts of the TOML files, the first 16 bytes in hex. Secrets
    /// and certificates are not part of it.
    pub hash: Arc<str>,
    /// Things to think about; the configuration is taken as it stands.
    pub warnings: Report,
    /// Every file and folder whose change may change the configuration, as it was before it was read.
    pub seen: Seen,
    pub routes_folder: RoutesFolder,
}

/// Whether there is a folder for route files, be it empty. None is what a gateway without routes may have, and what a running one
/// sees while its folder is replaced or its volume is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutesFolder {
    There,
    Missing,
}

/// Reads `portcullis.toml` and `routes/*.toml` in `dir`. Either there is no mistake, or there is no configuration.
pub fn load(dir: &Path) -> Result<Loaded, Report> {
    let findings = Findings::default();
    let main_source = read_source(&dir.join(MAIN_FILE), &findings);
    let (routes_folder, files) = route_files(dir, &main_source, &findings);
    let route_sources: Vec<Arc<Source>> = files.iter().filter_map(|path| read_source_if_good(path, &findings)).collect();
    let main = main_source.as_ref().ok().and_then(|source| read_main(source, dir, &findings));
    let classes = main.as_ref().map_or_else(read_main::classes_built_in, |main| main.classes.clone());
    let drafts: Vec<Draft> = route_sources.iter().map(|source| read_route(source, dir, &classes, &findings)).collect();
    agree::check(main.as_ref(), &drafts, &classes, &findings);
    let hash = hash(main_source.as_ref().ok(), &route_sources);
    let warned = main.as_ref().map(|main| lint::lint(main, &drafts, &findings));
    let loaded = warned.and_then(|()| whole(main?, drafts));
    conclude(loaded, findings, hash, routes_folder)
}

fn conclude(config: Option<Config>, findings: Findings, hash: Arc<str>, routes_folder: RoutesFolder) -> Result<Loaded, Report> {
    let (problems, seen) = findings.into_parts();
    let report = Report::new(problems);
    let table = config.as_ref().and_then(|config| compile::compile(config).ok());
    match (config, table) {
        (Some(config), Some(table)) if report.count(Severity::Error) == 0 => {
            Ok(Loaded { config, table, hash, warnings: report, seen, routes_folder })
        }
        _ => Err(report),
    }
}

fn whole(main: Main, drafts: Vec<Draft>) -> Option<Config> {
    Some(Config {
        gateway: main.gateway?,
        listeners: main.listeners?.into_iter().map(|(listener, _)| listener).collect(),
        operations: main.operations,
        redirect: main.redirect,
        tls: main.tls?,
        idps: main.idps?,
        second_factor: main.second_factor,
        session: main.session,
        rate_limit: main.rate_limit,
        audit: main.audit?,
        detection: main.detection,
        notify: main.notify?,
        traces: main.traces?,
        store: main.store?,
        classes: main.classes,
        admin: main.admin,
        upstream: main.upstream,
        sandbox: main.sandbox,
        limits: main.limits,
        routes: drafts.into_iter().map(|draft| draft.route).collect::<Option<_>>()?,
    })
}

/// The text of a file; a file that cannot be read is noted, with the file itself as the place.
fn read_source(path: &Path, findings: &Findings) -> Result<Arc<Source>, Arc<Source>> {
    findings.watch(path.to_owned());
    let (text, fault) = match files::read(path, Readers::Anyone) {
        Ok(bytes) => match String::from_utf8(bytes.to_vec()) {
            Ok(text) => return Ok(Arc::new(Source::new(path.to_owned(), text))),
            Err(fault) => (String::from_utf8_lossy(fault.as_bytes()).into_owned(), FileFault::NotUtf8(fault.utf8_error().valid_up_to())),
        },
        Err(fault) => (String::new(), fault),
    };
    let mend = match (&fault, path.ends_with(MAIN_FILE)) {
        (FileFault::Missing, true) => "name the configuration's folder with --config, or write one with `portcullis init`".to_owned(),
        _ => fault.mend(path),
    };
    let at = if let FileFault::NotUtf8(at) = fault { at..at + 1 } else { 0..0 };
    let source = Arc::new(Source::new(path.to_owned(), text));
    note(findings, &source, at, format!("{} {fault}", path.display()), mend);
    Err(source)
}

fn read_source_if_good(path: &Path, findings: &Findings) -> Option<Arc<Source>> {
    read_source(path, findings).ok()
}

fn note(findings: &Findings, source: &Arc<Source>, span: Range<usize>, message: String, mend: String) {
    let place = Place::new(source, span);
    findings.note(Problem { severity: Severity::Error, place, key: String::new(), message, mend, notes: Vec::new(), other: None });
}

/// The route files, in the order of their names. No folder means no routes.
fn route_files(dir: &Path, main: &Result<Arc<Source>, Arc<Source>>, findings: &Findings) -> (RoutesFolder, Vec<PathBuf>) {
    let folder = dir.join(ROUTES_DIR);
    findings.watch(dir.to_owned());
    findings.watch(folder.clone());
    let (Ok(source) | Err(source)) = main;
    let unreadable = |fault: &std::io::Error| {
        note(
            findings,
            source,
            0..0,
            format!("{} cannot be read: {}", folder.display(), fault.kind()),
            "make it a folder that the gateway's user can read".to_owned(),
        );
    };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        // A link that leads nowhere is a folder that somebody wanted.
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound && folder.symlink_metadata().is_err() => {
            return (RoutesFolder::Missing, Vec::new());
        }
        Err(fault) => {
            unreadable(&fault);
            return (RoutesFolder::Missing, Vec::new());
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => files.push(entry.path()),
            // A folder that is read in part would be an allowlist that is read in part.
            Err(fault) => unreadable(&fault),
        }
    }
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !hidden(path));
    files.sort();
    (RoutesFolder::There, files)
}

/// The tree of a file. Syntax errors are noted; what could be read around them is read.
fn parse<'a>(source: &'a Arc<Source>, findings: &Findings) -> (DeTable<'a>, Vec<Range<usize>>) {
    let (tree, faults) = DeTable::parse_recoverable(source.text());
    let mut broken = Vec::new();
    for fault in faults {
        let span = fault.span().unwrap_or(0..0);
        // One slip of the pen may upset the parser more than once; the first complaint of a line is the telling one.
        let line = |span: &Range<usize>| Place::new(source, span.clone()).line();
        if broken.iter().all(|known| line(known) != line(&span)) {
            let (message, mend) = syntax::explain(fault.message().lines().next().unwrap_or("syntax error"), source.text(), &span);
            note(findings, source, span.clone(), message, mend);
        }
        broken.push(span);
    }
    (tree.into_inner(), broken)
}

fn read_main(source: &Arc<Source>, dir: &Path, findings: &Findings) -> Option<Main> {
    let (tree, broken) = parse(source, findings);
    let desk = Desk { source, findings, dir, broken: &broken };
    let file = Table::open(desk, String::new(), 0..0, &tree, keys::MAIN);
    Some(read_main::read(&file))
}

fn read_route(
    source: &Arc<Source>,
    dir: &Path,
    classes: &std::collections::BTreeMap<Arc<str>, super::sections::Class>,
    findings: &Findings,
) -> Draft {
    let (tree, broken) = parse(source, findings);
    let desk = Desk { source, findings, dir, broken: &broken };
    let file = Table::open(desk, String::new(), 0..0, &tree, keys::ROUTE);
    read_route::read(&file, classes)
}

fn hash(main: Option<&Arc<Source>>, routes: &[Arc<Source>]) -> Arc<str> {
    let mut context = digest::Context::new(&digest::SHA256);
    for source in main.into_iter().chain(routes) {
        let name = source.path().file_name().unwrap_or_default().as_encoded_bytes();
        // Lengths keep names and texts apart.
        for part in [name, source.text().as_bytes()] {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
    }
    context.finish().as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

const MAIN_FILE: &str = "portcullis.toml";
/// In the configuration's folder.
pub const ROUTES_DIR: &str = "routes";
