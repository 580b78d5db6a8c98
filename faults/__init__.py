"""Attack the operator on real parts, and judge what it does; nothing of it is part of the operator."""
