"""The sections of the page: those about the study here, those about a model or an attack in folders of their own."""
