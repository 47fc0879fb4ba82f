//! Servers and fixtures for the tests.
