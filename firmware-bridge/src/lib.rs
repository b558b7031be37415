//! firmware-bridge
