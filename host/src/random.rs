//! Random bytes from the kernel.

use zeroize::Zeroizing;

/// `N` random bytes, wiped when dropped.
///
/// # Errors
/// When the kernel gives none (before its pool is ready, or without the system call).
pub fn bytes<const N: usize>() -> std::io::Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut bytes[..]).map_err(std::io::Error::from)?;
    Ok(bytes)
}
