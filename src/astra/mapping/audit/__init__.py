"""Stage 5: is the reconstruction true? Every image can fit it perfectly and the map still be wrong by metres."""

from astra.mapping.audit.stage import AuditConfig, Audited, AuditInput, audit

__all__ = ["AuditConfig", "AuditInput", "Audited", "audit"]
