//! exporters/export
