"""Header to SQL rows: three words to learn are *element* (as it lies), *row* (as it counts), *location*."""
