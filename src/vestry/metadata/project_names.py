"""Well-known project names of PyPI, for comparing new names with."""

from __future__ import annotations

# Source: put together by hand on 2026-11-23 from what is generally known to be installed most (the libraries that
# installers, cloud tools, web frameworks, data and machine learning stacks depend on). It is no measured ranking and
# need not be: a name that is missing is only not guarded. Lower case, normalised as in PEP 503; a test checks that.
_TEXT = """
absl-py accelerate adal aenum aioboto3 aiobotocore aiofiles aiohappyeyeballs aiohttp aioitertools aiosignal alembic
altair amqp aniso8601 annotated-types anthropic antlr4-python3-runtime anyio apache-airflow apispec appdirs
argcomplete argon2-cffi arrow asgiref asn1crypto astroid asttokens async-timeout asyncpg attrs authlib autopep8
awscli awswrangler azure-common azure-core azure-identity azure-keyvault-secrets azure-storage-blob babel backoff
bcrypt beautifulsoup4 billiard black bleach blinker bokeh boto boto3 botocore build cachecontrol cachetools celery
certifi cffi cfgv chardet charset-normalizer cleo click cloudpickle colorama coloredlogs colorlog configparser
contourpy coverage crashtest croniter cryptography cycler cython dask databricks-sdk dataclasses-json datadog
datasets debugpy decorator defusedxml deprecated dill distlib distributed distro django django-cors-headers
djangorestframework dnspython docker docker-compose dockerfile-parse docopt docutils docstring-parser dulwich ecdsa
elastic-transport elasticsearch email-validator et-xmlfile exceptiongroup execnet executing fabric faker fastapi
fastavro fastjsonschema filelock flake8 flask flask-cors flask-login flask-sqlalchemy flatbuffers fonttools
frozenlist fsspec future gast gevent gitdb gitpython google-api-core google-api-python-client google-auth
google-auth-httplib2 google-auth-oauthlib google-cloud-bigquery google-cloud-core google-cloud-storage google-crc32c
google-resumable-media googleapis-common-protos graphql-core greenlet grpcio grpcio-status grpcio-tools gunicorn h11
h2 h5py hpack html5lib httpcore httplib2 httptools httpx huggingface-hub humanfriendly humanize hvac hyperframe
hypothesis identify idna imageio importlib-metadata importlib-resources iniconfig invoke ipykernel ipython
ipywidgets isodate isort itsdangerous jaraco-classes jedi jeepney jinja2 jira jmespath joblib jsonpatch jsonpath-ng
jsonpointer jsonschema jsonschema-specifications jupyter jupyter-client jupyter-core jupyterlab keras keyring
kiwisolver kombu kubernetes langchain langchain-core langsmith lazy-object-proxy libcst lightgbm llvmlite lockfile
loguru lxml lz4 mako markdown markdown-it-py markupsafe marshmallow matplotlib matplotlib-inline mccabe mdurl
mistune mlflow mock more-itertools moto mpmath msal msal-extensions msgpack msrest multidict multiprocess mypy
mypy-extensions mysql-connector-python mysqlclient nbclient nbconvert nbformat nest-asyncio networkx nltk nodeenv
notebook numba numpy nvidia-cublas-cu12 oauth2client oauthlib onnxruntime openai opencv-python openpyxl
opentelemetry-api opentelemetry-sdk opt-einsum orjson oscrypto packaging pandas pandocfilters paramiko parso passlib
pathspec patsy pbr pendulum pexpect pillow pip pip-tools pipenv pkginfo platformdirs playwright plotly pluggy ply
poetry poetry-core portalocker pre-commit prettytable prometheus-client prompt-toolkit propcache proto-plus protobuf
psutil psycopg2 psycopg2-binary ptyprocess pure-eval py4j pyarrow pyasn1 pyasn1-modules pycodestyle pycparser
pycryptodome pycryptodomex pydantic pydantic-core pydantic-settings pydot pyflakes pygithub pygments pyjwt pylint
pymongo pymysql pynacl pyodbc pyopenssl pyparsing pyperclip pyproject-hooks pyrsistent pyserial pysocks pyspark
pytest pytest-asyncio pytest-cov pytest-mock pytest-xdist python-dateutil python-dotenv python-multipart
python-slugify pytz pytzdata pywin32 pyyaml pyzmq rapidfuzz ray redis referencing regex requests requests-oauthlib
requests-toolbelt responses rfc3339-validator rich rpds-py rsa ruamel-yaml ruff s3fs s3transfer sagemaker
scikit-image scikit-learn scipy scramp seaborn secretstorage selenium semver sentencepiece sentry-sdk setproctitle
setuptools setuptools-scm shapely shellingham simplejson six slack-sdk smart-open smmap sniffio snowballstemmer
snowflake-connector-python sortedcontainers soupsieve sphinx sqlalchemy sqlparse stack-data starlette statsmodels
streamlit structlog sympy tabulate tblib tenacity tensorboard tensorflow termcolor textual threadpoolctl tiktoken
tinycss2 tokenizers toml tomli tomlkit toolz torch torchaudio torchvision tornado tox tqdm traitlets transformers
trio trove-classifiers twine typeguard typer typing-extensions typing-inspect tzdata tzlocal ujson uritemplate
urllib3 uvicorn uvloop virtualenv wandb watchdog watchfiles wcwidth webencodings websocket-client websockets
werkzeug wheel widgetsnbextension wrapt xgboost xlrd xlsxwriter xmltodict xxhash yapf yarl zipp zope-interface
zstandard
"""
WELL_KNOWN = tuple(_TEXT.split())
