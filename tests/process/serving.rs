//! A gateway that starts, reloads, answers its operators and stops.
