//! The same sign-in at other providers: each reads the standards in its own way, and none changes who gets in.

use std::sync::Arc;

use crate::support::{APP, Browser, GATE, Kind, Setup, World};

const PAGE: &str = "https://app.test/reports/7?a=1#part";
const OTHERS: [Kind; 2] = [Kind::Authlib, Kind::Glewlwyd];

async fn beside(provider: Kind) -> Arc<World> {
    World::with(Setup { provider, ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_a_provider_vouches_for_comes_to_the_page_and_back_again() {
    for provider in OTHERS {
        let world = beside(provider).await;
        let mut browser = Browser::new(&world, "ana");
        let (phone, _, after) = browser.sign_up(PAGE).await;
        assert_eq!((after.answer.status, after.url.as_str()), (200, PAGE), "{provider:?}");
        let head = world.upstream.received().remove(0);
        for stated in ["x-portcullis-email: ana@example.com", "x-portcullis-groups: staff"] {
            assert!(head.to_ascii_lowercase().contains(stated), "{provider:?}: {head}");
        }
        let answer = browser.post("https://app.test/.portcullis/sign-out", &[]).await;
        assert_eq!(answer.status, 303, "{provider:?}: {answer:?}");
        assert_eq!(browser.fetch("https://app.test/x").await.status, 401, "{provider:?}");
        let mut again = Browser::new(&world, "ana");
        assert_eq!(again.sign_in(PAGE, &phone).await.answer.status, 200, "{provider:?}");
        // A provider may name people as it likes, and names one person alike each time.
        assert_eq!(world.gateway_subjects().await.len(), 1, "{provider:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gains_by_a_claim_that_a_provider_leaves_out_or_does_not_vouch_for() {
    for provider in OTHERS {
        let world = beside(provider).await;
        // One text instead of a list is one group.
        let (_, _, ben) = Browser::new(&world, "ben").sign_up(PAGE).await;
        assert_eq!(ben.answer.status, 200, "{provider:?}: {ben:?}");
        // No groups are no groups: signed in, and let into nothing that a group opens.
        let mut browser = Browser::new(&world, "cai");
        let (_, _, cai) = browser.sign_up(PAGE).await;
        assert_eq!(cai.answer.status, 403, "{provider:?}: {cai:?}");
        assert_eq!(browser.fetch(&format!("https://{APP}/x")).await.json()["reason"], "no_rule", "{provider:?}");
        // An address that nobody vouches for is none; the groups stand.
        world.upstream.received();
        let (_, _, dan) = Browser::new(&world, "dan").sign_up(PAGE).await;
        assert_eq!(dan.answer.status, 200, "{provider:?}: {dan:?}");
        let head = world.upstream.received().remove(0).to_ascii_lowercase();
        assert!(!head.contains("dan@example.com") && head.contains("x-portcullis-groups: staff"), "{provider:?}: {head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_of_another_provider_is_good_once_and_for_its_browser_alone() {
    for provider in OTHERS {
        let world = beside(provider).await;
        let mut browser = Browser::new(&world, "ana");
        let page = browser.first_factor(PAGE).await;
        let callback = page.way.iter().find(|url| url.contains("/.portcullis/callback?")).unwrap();
        for mut thief in [Browser::new(&world, "ana"), browser.clone()] {
            let before = thief.cookie(GATE).map(str::to_owned);
            let answer = thief.get(callback).await;
            assert_eq!(answer.status, 400, "{provider:?}: {answer:?}");
            assert_eq!(thief.cookie(GATE), before.as_deref(), "{provider:?}");
        }
    }
}
