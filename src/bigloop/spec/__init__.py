"""What runs and jobs are told: declared once, parsed strictly, digested canonically."""
