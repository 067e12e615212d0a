<?php
/*
 * Does what test/t/186_clients.pl tells it, with our client for phpredis or Predis.
 *
 *	driver.php phpredis|predis SOCKET [PREFIX]
 *
 * Requests and answers are those of driver.mjs; at once are as many processes.
 */
declare(strict_types=1);

require __DIR__ . '/../../clients/php/Cache.php';

[, $library, $path] = $argv;
$prefix = $argv[3] ?? '';

function connect(float $timeout): \Redis|\Predis\ClientInterface
{
    global $library, $path, $prefix;

    if ($library === 'predis') {
        require_once 'Predis/Autoloader.php';
        \Predis\Autoloader::register();
        $parameters = ['scheme' => 'unix', 'path' => $path, 'read_write_timeout' => $timeout];
        return new \Predis\Client($parameters, ['prefix' => $prefix]);
    }
    $redis = new \Redis();
    $redis->connect($path, 0, $timeout, null, 0, $timeout);
    // which concerns values that it stores, and so none of ours
    $redis->setOption(\Redis::OPT_SERIALIZER, \Redis::SERIALIZER_PHP);
    $redis->setOption(\Redis::OPT_PREFIX, $prefix);
    return $redis;
}

// The same for all requests of a process that want the same, as an application has it;
// a process that is forked has connections of its own
function cache(int|float $wait, int|float $timeout, bool $parse): \Wtcache\Cache
{
    static $caches = [];

    $cache = $caches[getmypid() . " $wait $timeout $parse"] ??= new \Wtcache\Cache(
        fn (): \Redis|\Predis\ClientInterface => connect($timeout),
        wait: $wait,
        parse: $parse
            ? fn (string $text): mixed => json_decode($text, true, flags: JSON_THROW_ON_ERROR)
            : null,
    );
    $cache->stats = array_fill_keys(array_keys($cache->stats), 0);
    return $cache;
}

function get(array $request): void
{
    $cache = cache($request['wait'] ?? 60, $request['timeout'] ?? 20, !empty($request['parse']));
    $options = array_intersect_key($request, ['ttl' => 0, 'tags' => 0, 'hash' => 0]);
    if (($options['tags'] ?? null) === 'category') {
        $options['tags'] = fn (array $row): array => ["cat:$row[cat]"];
    }
    $load = function () use ($request): array|false {
        $database = new \PDO('pgsql:');
        $row = $database->query($request['sql'])->fetch(\PDO::FETCH_ASSOC);
        if (is_resource($row['value'] ?? null)) {
            $row['value'] = stream_get_contents($row['value']);
        }
        if (!empty($request['hash'])) {
            $row['value'] = json_decode($row['value'], true);
        }
        if (!empty($request['pause'])) {
            echo "loaded\n";
            fgets(STDIN);
        }
        return $row;
    };
    try {
        $value = $cache->get($request['key'], $load, ...$options);
        $result = ['value' => empty($request['binary']) ? $value : bin2hex($value)];
    } catch (\Exception $error) {
        $result = ['error' => $error::class . ': ' . $error->getMessage()];
    }
    // in one piece, as there are other processes
    echo json_encode($result + ['stats' => $cache->stats], JSON_THROW_ON_ERROR) . "\n";
}

echo "ready\n";
while ($line = fgets(STDIN)) {
    $request = json_decode($line, true, flags: JSON_THROW_ON_ERROR);
    $n = $request['n'] ?? 1;
    if ($n === 1) {
        get($request);
        continue;
    }
    for ($i = 0; $i < $n; $i++) {
        if (pcntl_fork() === 0) {
            get($request);
            exit;
        }
    }
    while (pcntl_wait($status) > 0) {
    }
}
