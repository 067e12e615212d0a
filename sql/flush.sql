-- What others do to Redis behind our back: FLUSHALL, a lost fence, SCRIPT FLUSH
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE fl (id int PRIMARY KEY, v text, tag text);
SELECT wtcache.attach('fl', tags => '{"fl:{tag}"}');
INSERT INTO fl VALUES (1, 'one', 'a'), (2, 'two', 'a');
\! $REDIS mget fl:1 fl:2

-- the scripts are lost: sent again, in the same push
\! $REDIS script flush
SELECT pushes_ok, pushes_failed FROM wtcache.stat \gset m_
UPDATE fl SET v = 'scripts' WHERE id = 1;
\! $REDIS get fl:1
SELECT pushes_ok - :m_pushes_ok AS pushes, pushes_failed - :m_pushes_failed AS failed FROM wtcache.stat;

-- everything is lost: the push cannot vouch for its image; the worker notices,
-- and replays what it has of the log, of other keys as well
\! $REDIS flushall
UPDATE fl SET v = 'first' WHERE id = 1;
SELECT wtcache.flush('60s');
\! $REDIS mget fl:1 fl:2
\! $REDIS sort tag:fl:a alpha
-- the next one counts again
SELECT unconfirmed, pushes_ok FROM wtcache.stat \gset m_
UPDATE fl SET v = 'second' WHERE id = 1;
\! $REDIS get fl:1
SELECT unconfirmed - :m_unconfirmed AS unconfirmed, pushes_ok - :m_pushes_ok AS pushes FROM wtcache.stat;

-- one half of the fence is lost, as by eviction: the same
\! $REDIS del wtcache:fence:0
UPDATE fl SET v = 'third' WHERE id = 1;
SELECT wtcache.flush('60s');
\! $REDIS mget fl:1 fl:2
\! $REDIS del wtcache:fence:1
UPDATE fl SET v = 'fourth' WHERE id = 2;
UPDATE fl SET v = 'fifth' WHERE id = 2;
SELECT wtcache.flush('60s');
\! $REDIS mget fl:1 fl:2
-- or is something else
\! $REDIS set wtcache:fence:1 string
UPDATE fl SET v = 'seventh' WHERE id = 1;
UPDATE fl SET v = 'eighth' WHERE id = 1;
SELECT wtcache.flush('60s');
\! $REDIS get fl:1
\! $REDIS type wtcache:fence:1

-- deletes and invalidations need no fence
\! $REDIS flushall
\! $REDIS set fl:1 foreign
DELETE FROM fl WHERE id = 1;
\! $REDIS exists fl:1
-- and the replay does not bring back what is deleted
SELECT wtcache.flush('60s');
\! $REDIS exists fl:1
\! $REDIS get fl:2

-- a new connection vouches from its beginning on
\! $REDIS flushall
\c -
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
UPDATE fl SET v = 'connected' WHERE id = 2;
\! $REDIS get fl:2
SELECT wtcache.flush('60s');

-- the connection is closed by the server: a new one is made
\! $REDIS client kill type normal skipme yes >/dev/null
SELECT pushes_ok, pushes_failed FROM wtcache.stat \gset m_
UPDATE fl SET v = 'reconnected' WHERE id = 2;
\! $REDIS get fl:2
SELECT pushes_ok - :m_pushes_ok AS pushes, pushes_failed - :m_pushes_failed AS failed FROM wtcache.stat;

-- the record of a newer version stays: this push is the older one
\! $REDIS eval "for i = 0, 1 do redis.call('HSET', 'wtcache:fence:' .. i, 'fl:2', '2' .. string.rep('9', 27)) end return redis.call('SET', 'fl:2', 'newer')" 0
SELECT refused_older FROM wtcache.stat \gset m_
UPDATE fl SET v = 'older' WHERE id = 2;
\! $REDIS get fl:2
DELETE FROM fl WHERE id = 2;
\! $REDIS get fl:2
SELECT refused_older - :m_refused_older AS refused_older FROM wtcache.stat;
-- the record of a reader's fill that may have seen more: the value is deleted
\! $REDIS eval "for i = 0, 1 do redis.call('HSET', 'wtcache:fence:' .. i, 'fl:3', '1' .. string.rep('9', 27)) end return redis.call('SET', 'fl:3', 'filled')" 0
INSERT INTO fl VALUES (3, 'pushed', 'a');
\! $REDIS exists fl:3
-- every operation voids the key's lease, whatever becomes of it
\! $REDIS mset wtcache:lease:fl:3 x wtcache:lease:fl:4 x wtcache:lease:fl:5 x wtcache:lease:fl:6 x
UPDATE fl SET v = 'refused' WHERE id = 3;
INSERT INTO fl VALUES (4, 'stored', 'b');
SELECT wtcache.delete('fl:5');
\! $REDIS exists wtcache:lease:fl:3 wtcache:lease:fl:4 wtcache:lease:fl:5
\! $REDIS exists wtcache:lease:fl:6
\! $REDIS sadd tag:fl:six fl:6
SELECT wtcache.invalidate_tag('fl:six');
\! $REDIS exists wtcache:lease:fl:6

DROP TABLE fl;
-- also what the replay has brought back of other tests
\! $REDIS eval "for _, k in ipairs(redis.call('KEYS', '*')) do if string.sub(k, 1, 8) ~= 'wtcache:' then redis.call('UNLINK', k) end end" 0
