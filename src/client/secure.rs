//! TLS for ureq, on top of whichever connector carries the bytes.
//!
//! ureq's own makes its configuration once for an agent; here it can change under the agent, and
//! the connections that it has go on.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use ureq::Error;
use ureq::unversioned::transport::time::{Duration as Left, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

use crate::tls::{Session, Tls};

/// What a farewell may wait for: it is sent where ureq holds its pool's lock.
const FAREWELL: Duration = Duration::from_millis(10);

/// Puts TLS on top of connections, when there is a setting for it.
#[derive(Debug)]
pub(super) struct Secure {
    tls: Option<Arc<Tls>>,
    handshake_timeout: Duration,
}

impl Secure {
    pub(super) fn new(tls: Option<&Arc<Tls>>, handshake_timeout: Duration) -> Self {
        Self { tls: tls.cloned(), handshake_timeout }
    }

    /// How long a handshake may take: as long as the call, from which connecting has taken.
    ///
    /// ureq's timeout for connecting would be too short: it is that of a few packets, and a
    /// handshake waits for the other side's processor.
    fn timeout(&self, details: &ConnectionDetails<'_>) -> NextTimeout {
        let call = details.config.timeouts().global.unwrap_or(Duration::MAX);
        let gone = match (details.now, (details.current_time)()) {
            (Instant::Exact(started), Instant::Exact(now)) => now - started,
            _ => Duration::ZERO,
        };
        let after = call.saturating_sub(gone).min(self.handshake_timeout);
        NextTimeout { after: Left::Exact(after), ..NextTimeout::default() }
    }
}

impl<In: Transport> Connector<In> for Secure {
    type Out = Either<In, SecureTransport<In>>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(below) = chained else { return Ok(None) };
        let Some(tls) = &self.tls else { return Ok(Some(Either::A(below))) };
        let mut session = tls.connect(details.uri.host().unwrap_or_default())?;
        let mut below = TransportAdapter::new(below, Arc::clone(&details.current_time));
        below.set_timeout(self.timeout(details));
        session.handshake(&mut below)?;
        let (input, output) =
            (details.config.input_buffer_size(), details.config.output_buffer_size());
        let buffers = LazyBuffers::new(input, output);
        Ok(Some(Either::B(SecureTransport { session, below, buffers })))
    }
}

/// A connection inside TLS.
pub(super) struct SecureTransport<In: Transport> {
    session: Session,
    below: TransportAdapter<In>,
    buffers: LazyBuffers,
}

impl<In: Transport> Transport for SecureTransport<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.below.set_timeout(timeout);
        let mut rest = &self.buffers.output()[..amount];
        while !rest.is_empty() {
            let taken = self.session.write(&mut self.below, &[IoSlice::new(rest)])?;
            rest = &rest[taken..];
        }
        Ok(self.session.flush(&mut self.below)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.below.set_timeout(timeout);
        let read = self.session.read(&mut self.below, self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        // What has come unasked is the other side's farewell.
        let below = self.below.get_mut();
        below.buffers().input().is_empty() && below.is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl<In: Transport> Drop for SecureTransport<In> {
    fn drop(&mut self) {
        self.below.set_timeout(NextTimeout { after: Left::Exact(FAREWELL), ..Default::default() });
        self.session.close(&mut self.below);
    }
}

impl<In: Transport> std::fmt::Debug for SecureTransport<In> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SecureTransport").field(self.below.inner()).finish()
    }
}
