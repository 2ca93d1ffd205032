//! In place of TLS, without the feature `tls`: types that have no values, so that whoever would
//! use one compiles to nothing.

use std::io::{self, IoSlice, Read, Write};

use super::{Section, TlsConfig};
use crate::error::{Error, Result};

#[derive(Debug)]
pub(crate) enum Tls {}
#[derive(Debug)]
pub(crate) enum Fresh {}
#[derive(Debug)]
pub(crate) enum Session {}

impl Tls {
    pub(crate) fn new(section: Section, _config: TlsConfig) -> Result<Self> {
        let reason = "this larder was built without TLS: build it with the feature `tls`";
        Err(Error::bad_setting(section.name(), reason))
    }

    pub(crate) fn read(&self) -> Result<Fresh> {
        match *self {}
    }

    pub(crate) fn swap(&self, _fresh: Fresh) {
        match *self {}
    }

    pub(crate) fn accept(&self) -> io::Result<Session> {
        match *self {}
    }

    pub(crate) fn connect(&self, _host: &str) -> io::Result<Session> {
        match *self {}
    }
}

impl Session {
    pub(crate) fn handshake(&mut self, _carrier: &mut (impl Read + Write)) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn read(
        &mut self,
        _carrier: &mut (impl Read + Write),
        _bytes: &mut [u8],
    ) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn write(
        &mut self,
        _carrier: &mut impl Write,
        _parts: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn is_flushed(&self) -> bool {
        match *self {}
    }

    pub(crate) fn flush(&mut self, _carrier: &mut impl Write) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn close(&mut self, _carrier: &mut impl Write) {
        match *self {}
    }
}
