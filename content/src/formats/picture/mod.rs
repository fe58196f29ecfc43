//! Pictures: whole by their format, and what stands beside the picture itself. What the picture shows is not read.

mod exif;
mod jpeg;
mod png;

pub use jpeg::Jpeg;
pub use png::Png;

#[cfg(test)]
mod tests;
