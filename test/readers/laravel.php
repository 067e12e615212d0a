<?php
/*
 * Laravel's RedisStore: its values are serialized by PHP, so it is given a store
 * that reads JSON; its keys have a prefix.
 */
require 'Illuminate/Cache/autoload.php';
require 'Illuminate/Redis/autoload.php';

use Illuminate\Cache\RedisStore;
use Illuminate\Redis\RedisManager;

class ImageStore extends RedisStore
{
    protected function unserialize($value)
    {
        return json_decode($value, true, 512, JSON_THROW_ON_ERROR);
    }
}

[, $path, $key] = $argv;
$redis = new RedisManager(null, 'phpredis', ['default' => ['host' => $path, 'port' => 0]]);
$plain = @(new RedisStore($redis, 'laravel_cache'))->get($key);
echo 'default: ', json_encode($plain), "\n";
$value = (new ImageStore($redis, 'laravel_cache'))->get($key);
echo $value['name'], ' ', $value['price'] + 1, ' ', $value['at'], "\n";
