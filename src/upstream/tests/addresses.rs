//! Addresses that no upstream may have (WS-05, WS-06).

use super::*;
use crate::upstream::address::{AddressFault, check, check_connected};
use kernel::Failure;

fn own() -> Vec<SocketAddr> {
    vec!["[::]:443".parse().unwrap(), "10.0.0.1:8443".parse().unwrap()]
}

#[track_caller]
fn refuse(address: &str, fault: AddressFault) {
    assert_eq!(check(address.parse().unwrap(), &own()), Err(fault), "{address}");
}

#[test]
fn metadata_and_link_local_addresses_are_refused_in_every_spelling() {
    for address in [
        "169.254.169.254:80",
        "169.254.0.1:80",
        "169.254.170.2:80",
        "[fe80::1]:80",
        "[::ffff:169.254.169.254]:80",
        "[::169.254.169.254]:80",
        "[64:ff9b::a9fe:a9fe]:80",
        "[64:ff9b:1::a9fe:a9fe]:80",
        "[64:ff9b:1:ffff:1:2:a9fe:a9fe]:80",
        "[2002:a9fe:a9fe::1]:80",
    ] {
        refuse(address, AddressFault::LinkLocal);
    }
    for address in [
        "100.100.100.200:80",
        "[fd00:ec2::254]:80",
        "[::ffff:100.100.100.200]:80",
        "192.0.0.192:80",
        "[fd20:ce::254]:80",
        "168.63.129.16:80",
    ] {
        refuse(address, AddressFault::Metadata);
    }
}

#[test]
fn addresses_of_no_one_machine_are_refused() {
    for address in ["0.0.0.0:80", "0.1.2.3:80", "[::]:80", "224.0.0.1:80", "255.255.255.255:80", "[ff02::1]:80", "[::ffff:0.0.0.0]:80"] {
        refuse(address, AddressFault::NotUnicast);
    }
}

#[test]
fn the_gateways_own_listeners_are_refused() {
    for address in [
        "10.0.0.1:8443",
        "[::ffff:10.0.0.1]:8443",
        "127.0.0.1:443",
        "127.9.9.9:443",
        "[::1]:443",
        "[64:ff9b::7f00:1]:443",
        "[::127.0.0.1]:443",
    ] {
        refuse(address, AddressFault::OwnListener);
    }
    let elsewhere = "192.0.2.7:443".parse().unwrap();
    assert_eq!(check_connected(elsewhere, elsewhere, &own()), Err(AddressFault::OwnListener));
    assert_eq!(check_connected("192.0.2.7:50000".parse().unwrap(), elsewhere, &own()), Err(AddressFault::OwnListener));
    assert_eq!(check_connected("192.0.2.8:50000".parse().unwrap(), elsewhere, &own()), Ok(()));
}

#[test]
fn ordinary_addresses_are_allowed() {
    for address in ["10.0.0.5:3000", "127.0.0.1:3000", "[::1]:3000", "[fd00::1]:443", "192.0.2.1:443", "[2001:db8::1]:443"] {
        assert_eq!(check(address.parse().unwrap(), &own()), Ok(()), "{address}");
    }
}

#[tokio::test]
async fn a_route_to_a_refused_address_is_unreachable() {
    for host in ["169.254.169.254", "0", "::ffff:169.254.169.254", "100.100.100.200"] {
        let bench = Bench::with(vec![at(Scheme::Http, host, 80)], |_| {});
        let refusal = bench.get("/x").await.unwrap_err();
        let Refusal::Failure(Failure::UpstreamUnreachable { detail, .. }) = refusal else { panic!("{host}") };
        assert!(detail.contains("the address is refused"), "{detail}");
    }
}

#[tokio::test]
async fn a_route_to_the_gateway_itself_is_unreachable() {
    let (address, accepted) = mirror().await;
    let any: SocketAddr = ([0, 0, 0, 0], address.port()).into();
    for host in ["127.0.0.1", "localhost", "2130706433", "127.1", "0x7f000001"] {
        let bench = Bench::among(vec![at(Scheme::Http, host, address.port())], vec![any], |_| {});
        assert_eq!(bench.get("/x").await.unwrap_err().status(), 502, "{host}");
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 0);
}
