from .audit import Audit as Audit
from .audit import AuditTable as AuditTable
from .audit import Rules as Rules
