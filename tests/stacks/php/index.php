<?php
// index.php - a front controller: what it is asked for decides what it does.
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
header('X-Instance: ' . getenv('FPM_NAME'));

function variables(array $names): void
{
    foreach ($names as $name) {
        echo $name, '=', $_SERVER[$name] ?? '-', "\n";
    }
}

switch ($path) {
    case '/big':
        for ($i = 0; $i < (int) $_GET['n']; $i++) {
            echo str_repeat(chr(97 + $i % 26), 65536);
        }
        break;
    case '/upload':
        $in = fopen('php://input', 'rb');
        $hash = hash_init('md5');
        echo 'bytes=', hash_update_stream($hash, $in), "\nmd5=", hash_final($hash), "\n";
        break;
    case '/events':
        // The next one when the file GATE.I is there: its client has had I.
        header('Content-Type: text/event-stream');
        for ($i = 1; $i <= 3; $i++) {
            echo "id: $i\ndata: event $i\n\n";
            @ob_flush();
            flush();
            while ($i < 3 && !file_exists("{$_GET['gate']}.$i")) {
                usleep(10000);
                clearstatcache();
            }
        }
        break;
    case '/slow':
        usleep((int) $_GET['ms'] * 1000);
        echo 'slept';
        break;
    case '/wait':
        // Written bit by bit: PHP notices that nobody listens any more when it writes.
        ignore_user_abort(false);
        register_shutdown_function(fn() => file_put_contents($_GET['file'], (string) connection_status()));
        for ($i = 0; $i < 3000; $i++) {
            echo str_repeat('.', 1000);
            @ob_flush();
            flush();
            usleep(10000);
        }
        break;
    case '/status':
        http_response_code((int) $_GET['code']);
        echo 'with a body';
        break;
    case '/move':
        header('Location: /elsewhere');
        break;
    case '/length':
        header('Content-Length: 5');
        echo 'hello';
        break;
    case '/early':
        echo 'answer';
        fastcgi_finish_request();
        usleep(300000);
        break;
    case '/cookies':
        setcookie('a', '1');
        setcookie('b', '2');
        echo $_SERVER['HTTP_COOKIE'] ?? '';
        break;
    case '/complain':
        error_log('PHP Notice:  a notice of the application');
        error_log("PHP Fatal error:  it is broken");
        echo 'complained';
        break;
    case '/headers':
        header('X-Long: ' . str_repeat('x', 30000));
        echo 'long';
        break;
    default:
        echo 'client=', $_SERVER['REMOTE_ADDR'], "\nscheme=", isset($_SERVER['HTTPS']) ? 'https' : 'http',
            "\nhost=", $_SERVER['HTTP_HOST'], "\n";
        variables(['REQUEST_METHOD', 'REQUEST_URI', 'SCRIPT_NAME', 'SCRIPT_FILENAME', 'PATH_INFO', 'DOCUMENT_ROOT',
            'QUERY_STRING', 'REMOTE_ADDR', 'REMOTE_USER', 'HTTPS', 'REQUEST_SCHEME', 'SERVER_NAME', 'SERVER_PORT',
            'SERVER_PROTOCOL', 'CONTENT_TYPE', 'CONTENT_LENGTH', 'HTTP_HOST', 'HTTP_X_FORWARDED_FOR', 'HTTP_PROXY',
            'HTTP_X_A', 'HTTP_X_B', 'APP_ENV', 'PHP_SELF']);
        break;
}
