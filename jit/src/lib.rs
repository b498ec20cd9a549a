//! Machine-code tiers.
