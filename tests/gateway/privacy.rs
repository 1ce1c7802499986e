//! What the gateway keeps of people: sealed records, and the erasure of a person.

use std::sync::Arc;

use portcullis::server::control::{ErasedPage, Order, Outcome};

use crate::support::{Browser, Phone, Setup, World};

const ANA: &str = "ana@example.com";

fn sealed() -> Setup {
    Setup { audit: "personal = \"sealed\"\n".to_owned(), ..Setup::default() }
}

async fn erase(world: &World, user: &str) -> ErasedPage {
    match world.order(Order::UserErase { user: user.to_owned() }).await {
        Outcome::Erased(page) => *page,
        other => panic!("{other:?}"),
    }
}

async fn signed_in(setup: Setup) -> (Arc<World>, Browser, Phone) {
    let world = World::with(setup).await;
    let mut browser = Browser::new(&world, "ana");
    let (phone, _, _) = browser.sign_up("https://app.test/").await;
    (world, browser, phone)
}

/// Everything that stands in the store's files.
fn store_bytes(world: &World) -> Vec<u8> {
    let files = std::fs::read_dir(world.state_dir()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).flat_map(|path| std::fs::read(path).unwrap()).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_out_at_once_and_gone_from_the_store() {
    let (world, mut browser, _) = signed_in(Setup::default()).await;
    world.order(Order::UserInvite { email: ANA.to_owned() }).await;
    let page = erase(&world, ANA).await;
    assert_eq!((page.subjects, page.sessions_ended, page.factors, page.invitations), (1, 1, 1, 1), "{page:?}");
    assert_eq!(browser.fetch("https://app.test/x").await.status, 401);
    assert_eq!(world.gateway_subjects().await, Vec::<String>::new());
    assert!(!holds(&store_bytes(&world), ANA), "the address still stands in the database or its side file");
    let pseudonym = page.pseudonym.unwrap();
    let erasures: Vec<_> = world.records().into_iter().filter(|record| record["unmapped"]["portcullis"]["event"] == "erase").collect();
    assert_eq!(erasures.len(), 1);
    assert!(erasures[0].to_string().contains(&pseudonym) && !erasures[0].to_string().contains(ANA), "{}", erasures[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_twice_is_erased_once_and_whoever_comes_back_is_somebody_new() {
    let (world, _, _) = signed_in(sealed()).await;
    let first = erase(&world, ANA).await.pseudonym.unwrap();
    let again = erase(&world, ANA).await;
    assert_eq!((again.pseudonym, again.subjects, again.keys), (None, 0, 0));
    let mut browser = Browser::new(&world, "ana");
    browser.sign_up("https://app.test/").await;
    let second = erase(&world, ANA).await.pseudonym.unwrap();
    assert_ne!(first, second);
    assert!(matches!(world.order(Order::UserErase { user: "nobody at all".to_owned() }).await, Outcome::Refused { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_records_name_one_person_by_one_pseudonym_and_never_otherwise() {
    let (world, mut browser, _) = signed_in(sealed()).await;
    assert_eq!(browser.fetch("https://app.test/x").await.status, 200);
    assert_eq!(browser.fetch("https://app.test/admin/x").await.status, 403);
    world.order(Order::UserInvite { email: ANA.to_owned() }).await;
    world.order(Order::UserLock { user: ANA.to_owned() }).await;
    let text: String = world.records().iter().map(ToString::to_string).collect();
    for personal in [ANA, "#ana\"", "\"staff\"", "127.0.0.1\""] {
        let found = text.find(personal).map(|at| text[at.saturating_sub(300)..at].to_owned());
        // An address stands for itself where nobody is known yet.
        assert!(found.is_none() || personal.starts_with("127"), "{personal} after {found:?}");
    }
    let mut uids: Vec<String> =
        world.records().iter().filter_map(|record| Some(record.pointer("/actor/user/uid")?.as_str()?.to_owned())).collect();
    uids.retain(|uid| uid.starts_with("pseudonym#"));
    uids.dedup();
    assert_eq!(uids.len(), 1, "{uids:?}");
    let known = world.records().into_iter().filter(|record| record.pointer("/actor/user/uid").is_some());
    let mut addresses: Vec<String> = known.filter_map(|record| Some(record.pointer("/src_endpoint/ip")?.as_str()?.to_owned())).collect();
    addresses.dedup();
    assert_eq!(addresses, ["127.0.0.0"], "a known person's network alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_is_on_record_before_it_is_allowed() {
    let world = World::start().await;
    let order = Order::AuditRead { command: "search".to_owned(), filters: "--reason no_rule".to_owned(), records: 7 };
    assert!(matches!(world.order(order).await, Outcome::Recorded {}));
    let record = world.records().pop().unwrap();
    let own = &record["unmapped"]["portcullis"];
    assert_eq!((own["event"].as_str(), own["command"].as_str(), own["records"].as_u64()), (Some("read_log"), Some("search"), Some(7)));
    assert_eq!(own["filters"], "--reason no_rule");
    assert_eq!(record["actor"]["user"]["uid"], rustix::process::geteuid().as_raw().to_string());
}

/// Runs the program on a world's configuration.
async fn run(world: &World, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("--config").arg(world.config_dir()).args(arguments).env_remove("PORTCULLIS_CONFIG");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_read_while_the_key_lives_and_the_pseudonym_afterwards() {
    let (world, mut browser, _) = signed_in(sealed()).await;
    assert_eq!(browser.fetch("https://app.test/x").await.status, 200);
    let search = ["audit", "search", "--user", ANA, "--output", "json"];
    let found = run(&world, &search).await;
    assert!(found.lines().count() > 3, "{found}");
    for line in found.lines() {
        assert!(line.contains(ANA) && line.contains("\"revealed\"") && line.contains("\"ip\":\"127.0.0.1\""), "{line}");
    }
    assert!(run(&world, &["audit", "tail", "--user", ANA]).await.contains("who=ana@example.com"));
    let readings: Vec<_> = world.records().into_iter().filter(|record| record["unmapped"]["portcullis"]["event"] == "read_log").collect();
    assert_eq!(readings.len(), 2);
    assert!(readings.iter().all(|record| !record.to_string().contains(ANA)), "a reading names nobody whom records do not name");
    let pseudonym = erase(&world, ANA).await.pseudonym.unwrap();
    assert_eq!(run(&world, &search).await, "");
    let found = run(&world, &["audit", "search", "--user", &pseudonym, "--output", "json"]).await;
    assert!(found.lines().count() > 3 && !found.contains(ANA), "{found}");
    run(&world, &["audit", "verify"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_recorded_of_one_person_can_be_handed_out() {
    let (world, _, _) = signed_in(sealed()).await;
    let folder = tempfile::tempdir().unwrap();
    // What no checkpoint covers yet is not exported, and one is signed a second: asked again until there is enough.
    for attempt in 0..500 {
        let path = folder.path().join(format!("{attempt}.jsonl"));
        run(&world, &["audit", "export", path.to_str().unwrap(), "--user", ANA]).await;
        let records = std::fs::read_to_string(&path).unwrap();
        if records.lines().count() > 3 {
            assert!(!records.contains(ANA), "{records}");
            let names = std::fs::read_to_string(path.with_extension("jsonl.names.jsonl")).unwrap();
            assert!(names.lines().count() == records.lines().count() && names.lines().all(|line| line.contains(ANA)), "{names}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("no checkpoint covered what was recorded within ten seconds");
}
