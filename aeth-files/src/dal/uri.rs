//! An operator by its URI.

use super::{OpendalAdapter, OpendalAdapterOptions};
use aeth_core::{Error, Result};
use opendal::Operator;

impl OpendalAdapter {
    /// The service that opendal knows under the scheme of a URI, such as `sftp://host/path` or `memory:///`, with what
    /// else it takes, by opendal's names. Only services whose features the host has enabled in opendal are known.
    ///
    /// ```
    /// use aeth_files::{OpendalAdapter, OpendalAdapterOptions};
    /// let store = OpendalAdapter::from_uri("memory:///", [], OpendalAdapterOptions::default())?;
    /// # drop(store);
    /// # Ok::<(), aeth_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Unsupported` for a service that is not known, naming those that are; `Invalid` for options that it does not
    /// take; those of [`with_options`](Self::with_options). The options are in none of them: they may be secret.
    pub fn from_uri(
        uri: &str,
        options: impl IntoIterator<Item = (String, String)>,
        adapter: OpendalAdapterOptions,
    ) -> Result<Self> {
        opendal::install_default();
        let scheme = uri.split("://").next().unwrap_or_default().to_ascii_lowercase();
        let known = opendal::OperatorRegistry::get().schemes();
        if !known.contains(&scheme) {
            let mut known: Vec<String> = known.into_iter().collect();
            known.sort();
            return Err(Error::unsupported(format!("this build of opendal has no service `{scheme}`"))
                .with_component("opendal")
                .with_operation("open")
                .with_remedy(format!(
                    "enable `services-{scheme}` on the program's own dependency on opendal; it has: {}",
                    known.join(", ")
                )));
        }
        let operator = Operator::from_uri((uri, options)).map_err(|error| {
            Error::invalid(format!("the service `{scheme}` does not take its options ({})", error.kind()))
                .with_component("opendal")
                .with_operation("open")
                .with_remedy(
                    "see opendal's documentation of the service for the names and values of its options",
                )
        })?;
        Self::with_options(operator, adapter)
    }
}
