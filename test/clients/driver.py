"""Does what test/t/186_clients.pl tells it, with our client for redis-py.

driver.py redis-py|asyncio SOCKET

Requests and answers are those of driver.mjs.
"""
import asyncio
import functools
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(__file__) + '/../../clients/python')
sys.dont_write_bytecode = True

import psycopg
import redis
import redis.asyncio
import wtcache

library, path = sys.argv[1:]


def options(request):
    given = {name: request[name] for name in ('ttl', 'tags', 'hash') if name in request}
    if given.get('tags') == 'category':
        given['tags'] = lambda row: ['cat:' + row['cat']]
    return given


# the same for all requests, as an application has it
@functools.cache
def connected(client, timeout, binary):
    return client(unix_socket_path=path, socket_timeout=timeout, decode_responses=not binary)


def cache(request, kind, client):
    return kind(
        connected(client, request.get('timeout', 20), request.get('binary')),
        wait=request.get('wait', 60),
        parse=json.loads if request.get('parse') else None,
    )


def tell(cache, value=None, error=None):
    result = {'stats': cache.stats}
    if error:
        result['error'] = f'{type(error).__name__}: {error}'
    else:
        result['value'] = value.hex() if isinstance(value, bytes) else value
    # in one piece, as there are threads
    sys.stdout.write(json.dumps(result) + '\n')
    sys.stdout.flush()


def get(request):
    reader = cache(request, wtcache.Cache, redis.Redis)

    def load():
        with psycopg.connect(autocommit=True) as connection:
            row = connection.execute(request['sql']).fetchone()
        if request.get('pause'):
            print('loaded', flush=True)
            sys.stdin.readline()
        return row

    try:
        tell(reader, reader.get(request['key'], load, **options(request)))
    except Exception as error:
        tell(reader, error=error)


async def get_async(request):
    reader = cache(request, wtcache.AsyncCache, redis.asyncio.Redis)

    async def load():
        async with await psycopg.AsyncConnection.connect(autocommit=True) as connection:
            cursor = await connection.execute(request['sql'])
            row = await cursor.fetchone()
        if request.get('pause'):
            print('loaded', flush=True)
            await asyncio.to_thread(sys.stdin.readline)
        return row

    try:
        tell(reader, await reader.get(request['key'], load, **options(request)))
    except Exception as error:
        tell(reader, error=error)


async def all_async(requests):
    await asyncio.gather(*map(get_async, requests))


loop = asyncio.new_event_loop()
print('ready', flush=True)
# not "for line in": a load reads lines as well
for line in iter(sys.stdin.readline, ''):
    request = json.loads(line)
    requests = [request] * request.get('n', 1)
    if library == 'asyncio':
        loop.run_until_complete(all_async(requests))
    else:
        with ThreadPoolExecutor(len(requests)) as pool:
            list(pool.map(get, requests))
