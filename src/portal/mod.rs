//! Pages of the gateway for people.
