//! Folders that vanish, are replaced or become empty under a running gateway, and reloads that could not be recorded.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use super::support::{Upstream, World, wait};

const REFUSED: &str = "configuration refused";
const TAKEN: &str = "configuration reloaded";

fn count(world: &World, line: &str) -> usize {
    world.errors().matches(line).count()
}

fn states(world: &World, metric: &str) -> bool {
    world.operations("/metrics").unwrap().1.contains(&format!("\n{metric}\n"))
}

/// The folder of the routes, and a name beside it.
fn folders(world: &World) -> (PathBuf, PathBuf) {
    (world.config().join("routes"), world.config().join("elsewhere"))
}

#[test]
fn a_routes_folder_that_vanishes_is_refused_for_as_long_as_it_is_away() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    let (routes, elsewhere) = folders(&world);
    fs::rename(&routes, &elsewhere).unwrap();
    wait("it is refused", || count(&world, REFUSED) == 1);
    assert!(world.errors().contains("routes is gone"), "{}", world.errors());
    gateway.signal(Signal::HUP);
    wait("a signal does not change that", || count(&world, REFUSED) == 2);
    assert_eq!(world.get("/p/still"), (200, "ok".to_owned()));
    let (status, ready) = world.operations("/readyz").unwrap();
    assert!(status == 200 && ready.contains("configuration: refused since") && ready.contains("routes is gone"), "{ready}");
    assert!(states(&world, "portcullis_configuration_refused 1"));

    fs::rename(&elsewhere, &routes).unwrap();
    wait("it is taken", || count(&world, TAKEN) == 1);
    assert!(states(&world, "portcullis_configuration_refused 0"));
    assert!(gateway.stop().success());
    let refusals = world.records().iter().filter(|record| record["class_uid"] == 3004 && record["status_id"] == 2).count();
    assert_eq!(refusals, 2);
    // A start judges what it finds: without the folder there is no route, and nothing is open.
    fs::rename(&routes, &elsewhere).unwrap();
    let gateway = world.serve();
    assert_eq!(world.get("/p/none").0, 401);
    assert!(gateway.stop().success());
}

#[test]
fn a_routes_folder_that_another_took_the_place_of_is_followed() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let (routes, elsewhere) = folders(&world);
    let gateway = world.serve();
    fs::create_dir(&elsewhere).unwrap();
    let opened = |more: &str| {
        let route = fs::read_to_string(routes.join("app.toml")).unwrap();
        format!("{route}\n[[allow]]\nid = \"{more}\"\npublic = true\nmethods = [\"GET\"]\npaths = [\"/{more}/**\"]\n")
    };
    fs::write(elsewhere.join("app.toml"), opened("one")).unwrap();
    fs::rename(&routes, world.config().join("old")).unwrap();
    fs::rename(&elsewhere, &routes).unwrap();
    wait("the new folder counts", || world.get("/one/x").0 == 200);
    world.edit("routes/app.toml", |_| opened("two"));
    wait("so does what changes in it", || world.get("/two/x").0 == 200);
    assert!(gateway.stop().success());
}

#[test]
fn a_routes_folder_that_is_emptied_closes_everything_and_says_so() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    // Only a port that is named is listened on: the gateway's own host keeps this one.
    let gateway = world.serve();
    assert_eq!(world.get("/p/before").0, 200);
    fs::remove_file(world.config().join("routes/app.toml")).unwrap();
    wait("it is closed", || world.get("/p/after").0 == 401);
    wait("it is said", || world.errors().contains("the configuration has no route any more"));
    assert_eq!(count(&world, REFUSED), 0);
    assert!(gateway.stop().success());
}

#[test]
fn a_link_to_a_routes_folder_that_leads_nowhere_is_a_mistake_at_the_start_too() {
    let world = World::new();
    let (routes, elsewhere) = folders(&world);
    fs::rename(&routes, &elsewhere).unwrap();
    std::os::unix::fs::symlink("nowhere", &routes).unwrap();
    let (_, err) = world.check(&["check"], 78);
    assert!(err.contains("routes cannot be read"), "{err}");
}

#[test]
fn a_reload_that_could_not_be_recorded_is_tried_again_until_it_is_taken() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" --config \"$1\" serve", super::support::BINARY]).arg(world.config());
    let gateway = world.serve_as(command);
    assert_eq!(world.get("/p/before").0, 200);
    let size = fs::metadata(world.first_segment()).unwrap().len();
    gateway.limit_files(Some(size + 5_000));
    let mut asked = 0;
    wait("the disk is full", || {
        asked += 1;
        world.get(&format!("/p/filling-{asked}")).0 == 503
    });
    // The signal alone: no file changes, now or later.
    gateway.signal(Signal::HUP);
    wait("it could not be recorded", || world.errors().contains("the change could not be recorded"));
    assert!(states(&world, "portcullis_configuration_refused 1"));
    gateway.limit_files(None);
    wait("it is taken", || count(&world, TAKEN) == 1);
    wait("that is told", || states(&world, "portcullis_configuration_refused 0"));
    assert!(!world.operations("/readyz").unwrap().1.contains("configuration: refused"));
    assert!(gateway.stop().success());
    world.check(&["audit", "verify"], 0);
}
