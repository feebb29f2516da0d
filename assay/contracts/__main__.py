"""Write the JSON Schemas: ``python -m assay.contracts``."""

from assay.contracts.schemas import write

write()
