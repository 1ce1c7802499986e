//! What the tests stand on: a running gateway with everything around it ([`World`]), a person's browser ([`Browser`]) and
//! phone ([`Phone`]), a client that writes raw bytes ([`Wire`]), and an upstream that keeps the bytes it got ([`Recorder`]).
#![allow(dead_code, unused_imports, reason = "each file of tests uses its own part")]

mod browser;
mod pebble;
mod phone;
mod post;
mod provider;
mod recorder;
mod seat;
mod spans;
mod wire;
mod world;

pub use browser::{Browser, Visit, hidden};
pub use pebble::{Names, Pebble, Relay, free_port};
pub use phone::Phone;
pub use post::{Mail, Post};
pub use provider::{Kind, Provider};
pub use recorder::{Manner, Recorder};
pub use spans::SpanReceiver;
pub use wire::{Answer, Wire, exchange_plain, tls};
pub use world::{APP, GATE, PUB, Setup, UNLISTED, World, navigation, route_text};
