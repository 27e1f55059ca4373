//! Prisma schemas.
