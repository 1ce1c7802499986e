//! Pages of the gateway for people.

pub mod pages;
