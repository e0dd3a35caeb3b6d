//! Meltemi's certificate authority.
