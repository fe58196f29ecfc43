//! The one module with `unsafe`: what the kernel offers only as raw descriptors.
