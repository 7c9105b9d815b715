//! usedmap
