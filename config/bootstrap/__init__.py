"""From any python3 of the machine into a .venv that holds exactly what requirements.lock names.

Standard library only, in the syntax of Python 3.6 (annotations in quotation marks), because an
older python3 runs this to find a newer one. Windows is not served.
"""
